//! Six epochs of Subtensor's own unit test of bonds (`test_bonds`). It has eight neurons; uids 0 to 3
//! have stakes 1 to 4 and permits. Kappa is one half, the bonds penalty 65535, the bonds moving average
//! 0.9, the emission 1,000,000,000.

use devchain_runtime::yuma::{EpochInput, SparseRow};

/// The values that Subtensor stored in an epoch.
pub(crate) struct Vector {
    /// The weights set before the epoch, with the uid that sets them.
    pub(crate) change: Option<(usize, SparseRow)>,
    /// The shares of uids 4 to 7.
    pub(crate) incentive: [f64; 4],
    /// The shares of uids 0 to 3.
    pub(crate) dividends: [f64; 4],
    pub(crate) emission: [u64; 8],
    /// A uid, and the bonds of uids 0 to 3 to it.
    pub(crate) bonds: (usize, [u64; 4]),
}

const RISING: [f64; 4] = [0.099_997_558_2, 0.200_001_220_7, 0.299_992_675_2, 0.400_008_545_5];
const NONE: [f64; 4] = [0.0; 4];
const ALL_TO_7: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

/// Returns the network before the first epoch.
pub(crate) fn network() -> EpochInput {
    let row: SparseRow = vec![(4, 16_383), (5, 32_767), (6, 49_149), (7, 65_535)];
    EpochInput {
        block: 100,
        last_epoch: 90,
        activity_cutoff: 5000,
        stake: vec![1, 2, 3, 4, 0, 0, 0, 0],
        stake_threshold: 0,
        owner_uid: None,
        max_allowed_validators: 4,
        kappa: 32_767,
        bonds_penalty: 65_535,
        bonds_moving_average: 900_000,
        yuma3: false,
        last_update: vec![95; 8],
        registered_at: vec![1; 8],
        permits: vec![true, true, true, true, false, false, false, false],
        weights: [vec![row; 4], vec![SparseRow::new(); 4]].concat(),
        bonds: vec![SparseRow::new(); 8],
        emission: 1_000_000_000,
    }
}

/// Returns the epochs in order.
pub(crate) fn vectors() -> [Vector; 6] {
    let only_itself = |uid: u16| Some((usize::from(uid), vec![(uid, u16::MAX)]));
    let servers = [49_998_779, 100_000_610, 149_996_337, 200_004_272];
    let emission = |validators: [u64; 4], servers: [u64; 4]| {
        let [a, b, c, d] = validators;
        let [e, f, g, h] = servers;
        [a, b, c, d, e, f, g, h]
    };
    [
        Vector {
            change: None,
            incentive: RISING,
            dividends: [0.099_999_997_8, 0.199_999_998_3, 0.300_000_001_2, 0.400_000_002_2],
            emission: emission([49_999_998, 99_999_999, 150_000_000, 200_000_001], servers),
            bonds: (4, [16_383, 32_767, 49_151, 65_535]),
        },
        Vector {
            change: only_itself(0),
            incentive: RISING,
            dividends: [0.089_996_703_2, 0.202_221_123_3, 0.303_334_432, 0.404_447_741],
            emission: emission([44_998_351, 101_110_561, 151_667_215, 202_223_870], servers),
            bonds: (4, [14_582, 32_767, 49_151, 65_535]),
        },
        Vector {
            change: only_itself(1),
            incentive: RISING,
            dividends: [0.080_993_611_8, 0.181_999_567_7, 0.315_859_272_1, 0.421_147_548],
            emission: emission([40_496_805, 90_999_783, 157_929_636, 210_573_773], servers),
            bonds: (4, [12_603, 28_321, 49_151, 65_535]),
        },
        Vector {
            change: only_itself(2),
            incentive: NONE,
            dividends: NONE,
            emission: emission([99_999_999, 199_999_999, 299_999_999, 399_999_999], [0; 4]),
            bonds: (7, [12_602, 28_320, 49_150, 65_535]),
        },
        Vector {
            change: Some((2, vec![(7, u16::MAX)])),
            incentive: ALL_TO_7,
            dividends: [0.072_887_466_3, 0.163_797_258_2, 0.327_130_986_6, 0.436_184_288_5],
            emission: emission([36_443_733, 81_898_628, 163_565_493, 218_092_144], [0, 0, 0, 500_000_000]),
            bonds: (7, [10_951, 24_609, 49_150, 65_535]),
        },
        Vector {
            change: None,
            incentive: ALL_TO_7,
            dividends: [0.065_598_854_8, 0.147_413_224_7, 0.337_276_258_5, 0.449_711_661_6],
            emission: emission([32_799_427, 73_706_612, 168_638_129, 224_855_830], [0, 0, 0, 500_000_000]),
            bonds: (7, [9_559, 21_482, 49_150, 65_535]),
        },
    ]
}
