//! The errors of the pallet, with the numbers of the real chain.

use frame_support::pallet_macros::pallet_section;

/// The errors.
#[pallet_section]
mod errors {
    /// The reasons why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The type of the IP address is neither 4 nor 6.
        #[codec(index = 1)]
        InvalidIpType,
        /// The IP address is a loopback or broadcast address.
        #[codec(index = 2)]
        InvalidIpAddress,
        /// The port is 0.
        #[codec(index = 3)]
        InvalidPort,
        /// The hotkey has no uid in the subnet.
        #[codec(index = 4)]
        HotKeyNotRegisteredInSubNet,
        /// The hotkey was never registered.
        #[codec(index = 5)]
        HotKeyAccountNotExists,
        /// The hotkey that serves has no uid in the subnet.
        #[codec(index = 6)]
        HotKeyNotRegisteredInNetwork,
        /// The hotkey belongs to another coldkey.
        #[codec(index = 7)]
        NonAssociatedColdKey,
        /// The coldkey has less stake on the hotkey than it withdraws.
        #[codec(index = 9)]
        NotEnoughStakeToWithdraw,
        /// The hotkey's stake weight is below the threshold.
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The coldkey cannot pay and keep the existential deposit.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The neuron has no validator permit.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// The numbers of uids and weights differ.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// A uid occurs twice.
        #[codec(index = 17)]
        DuplicateUids,
        /// A uid is not in use.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// There are fewer weights than the subnet requires.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// The hotkey already has a uid in the subnet.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// A weight is above the subnet's limit.
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The last weights are more recent than the rate limit allows.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// The version key is older than the subnet's.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// The last announced address is more recent than the rate limit allows.
        #[codec(index = 31)]
        ServingRateLimitExceeded,
        /// There are more uids than the subnet has.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// The subnet accepts no registrations.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// The root network accepts no such registration.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// The root network accepts no such weights.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No uid is free, and no neuron can be replaced.
        #[codec(index = 48)]
        NoNeuronIdAvailable,
        /// The hotkey has no commit that can still be revealed.
        #[codec(index = 51)]
        NoWeightsCommitFound,
        /// The revealed weights are not those of any commit.
        #[codec(index = 52)]
        InvalidRevealCommitHashNotMatch,
        /// Weights must be committed and revealed.
        #[codec(index = 53)]
        CommitRevealEnabled,
        /// Weights cannot be committed: the subnet takes them plain.
        #[codec(index = 54)]
        CommitRevealDisabled,
        /// The subnet has no such mechanism, or does not exist.
        #[codec(index = 74)]
        MechanismDoesNotExist,
        /// The subnet does not exist.
        #[codec(index = 76)]
        SubnetNotExists,
        /// The hotkey already has the maximum number of commits that wait for their reveal.
        #[codec(index = 77)]
        TooManyUnrevealedCommits,
        /// The epoch in which the commit had to be revealed is over.
        #[codec(index = 78)]
        ExpiredWeightCommit,
        /// The epoch in which the commit can be revealed has not begun.
        #[codec(index = 79)]
        RevealTooEarly,
        /// The lists of a batch have different lengths.
        #[codec(index = 80)]
        InputLengthsUnequal,
        /// The last weights or commit are more recent than the rate limit allows.
        #[codec(index = 81)]
        CommittingWeightsTooFast,
        /// The amount is below the minimum.
        #[codec(index = 82)]
        AmountTooLow,
        /// The subnet's pool has too little TAO.
        #[codec(index = 83)]
        InsufficientLiquidity,
        /// The price is beyond the caller's limit.
        #[codec(index = 84)]
        SlippageTooHigh,
        /// The version of the commit is not the chain's.
        #[codec(index = 111)]
        IncorrectCommitRevealVersion,
        /// The pulse of the reveal round is already known.
        #[codec(index = 112)]
        InvalidRevealRound,
        /// The price is above the caller's limit.
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
    }
}
