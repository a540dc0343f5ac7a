//! Encodes and decodes the canonical bytes of a run spec.

use super::{Data, Initial, MOST_NAME, Network, RunSpec, RunSpecError};
use crate::{acceptance::AcceptanceSpec, clock::WindowSpec, model::ModelSpec, train::TrainSpec};
use base::{
    BlockHash, Height, Mechanism, Netuid,
    digest::{DatasetHash, RunSeed, StateRoot, TokenizerHash},
    object::{self, kind},
    wire::{Reader, WireError, Writer},
};
use codec::sparse::SparseSpec;
use scoring::gauntlet::ScoringSpec;

/// The version that this code writes and reads.
const VERSION: u8 = 6;
/// Number of zeros at the end: space for fields of a later version, so that no other field moves.
const RESERVED: usize = 16;

impl RunSpec {
    /// Encodes the canonical bytes, from which the run's hash is made.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(kind::RUN_SPEC).u8(VERSION).text(&self.name);
        let Network { genesis, netuid, mechanism, version_key, start_block } = self.network;
        to.raw(&genesis.0).u16(netuid.0).u8(mechanism.0).u64(version_key).u64(start_block.0);
        self.window.write(&mut to);
        self.model.write(&mut to);
        to.raw(&self.data.tokenizer.0).raw(&self.data.dataset.0);
        to.raw(&self.initial.seed.0).raw(&self.initial.root.0);
        self.train.write(&mut to);
        self.sparse.write(&mut to);
        self.acceptance.write(&mut to);
        self.scoring.write(&mut to);
        to.raw(&[0; RESERVED]);
        to.into_bytes()
    }

    /// Decodes canonical bytes, all of them, and checks the values.
    ///
    /// # Errors
    /// The bytes are not a run spec of this version, or the run cannot be run.
    pub fn read(bytes: &[u8]) -> Result<Self, RunSpecError> {
        let mut from = Reader::new(bytes);
        object::open(&mut from, "the run spec", kind::RUN_SPEC, VERSION)?;
        let spec = Self::read_fields(&mut from)?;
        let offset = from.offset();
        let reserved: [u8; RESERVED] = from.array("the reserved bytes")?;
        if let Some(found) = reserved.into_iter().find(|&byte| byte != 0) {
            let (what, expected) = ("the reserved bytes", "they are zeros in this version");
            return Err(WireError::Value { what, offset, found: found.into(), expected }.into());
        }
        from.finish("the run spec")?;
        spec.check()?;
        Ok(spec)
    }

    fn read_fields(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            name: from.text("the run's name", u16::try_from(MOST_NAME).expect("a small number"))?.to_owned(),
            network: Network {
                genesis: BlockHash(from.array("network.genesis")?),
                netuid: Netuid(from.u16("network.netuid")?),
                mechanism: Mechanism(from.u8("network.mechanism")?),
                version_key: from.u64("network.version_key")?,
                start_block: Height(from.u64("network.start_block")?),
            },
            window: WindowSpec::read(from)?,
            model: ModelSpec::read(from)?,
            data: Data {
                tokenizer: TokenizerHash(from.array("data.tokenizer")?),
                dataset: DatasetHash(from.array("data.dataset")?),
            },
            initial: Initial {
                seed: RunSeed(from.array("initial.seed")?),
                root: StateRoot(from.array("initial.root")?),
            },
            train: TrainSpec::read(from)?,
            sparse: SparseSpec::read(from)?,
            acceptance: AcceptanceSpec::read(from)?,
            scoring: ScoringSpec::read(from)?,
        })
    }
}
