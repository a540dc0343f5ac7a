//! The chain's refusals in plain words: the meaning, the remedy, and whether a retry helps.
//!
//! Two places can refuse a transaction. The node's pool refuses it before it is in a block, with the
//! JSON-RPC codes 1001 to 1018; code 1010 carries the runtime's own numbers. The runtime refuses it in a
//! block, with a dispatch error named `Pallet::Error`. Both become a [`Refusal`]. Sources:
//! `CustomTransactionError` and the `Error` enums of the chain's pallets, spec 461. Tests compare the table
//! of errors with the metadata in both directions.

mod dispatch;
mod pool;

/// A refusal by the chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    // Weights.
    /// `SubtensorModule::CanNotSetRootNetworkWeights`.
    #[error("cannot set weights on the root network (netuid 0): name the subnet")]
    RootWeights,
    /// `SubtensorModule::WeightVecNotEqualSize`.
    #[error("the numbers of weights and uids differ: give one weight for each uid")]
    WeightsAndUidsDiffer,
    /// `SubtensorModule::MechanismDoesNotExist`.
    #[error("the subnet does not exist, or has no such mechanism: check the netuid")]
    NoSuchMechanism,
    /// `SubtensorModule::UidsLengthExceedUidsInSubNet`.
    #[error("there are more weights than the subnet has neurons: read the metagraph again")]
    MoreWeightsThanNeurons,
    /// `SubtensorModule::HotKeyNotRegisteredInSubNet` (pool 19), `…InNetwork` (pool 10).
    #[error(
        "the hotkey is not registered on this subnet: register it first (it may have been replaced by a newer one)"
    )]
    NotRegistered,
    /// `SubtensorModule::NotEnoughStakeToSetWeights`; pool 1.
    #[error("the hotkey has too little stake to set weights on this subnet: add stake, or get delegations")]
    StakeTooLow,
    /// `SubtensorModule::IncorrectWeightVersionKey`.
    #[error("the subnet requires a newer version key: update this program, as the subnet's owner asks")]
    VersionKeyTooOld,
    /// `SubtensorModule::SettingWeightsTooFast`, `CommittingWeightsTooFast`.
    #[error("the last weights are too recent: wait until WeightsSetRateLimit blocks have passed since then")]
    WeightsTooSoon,
    /// `SubtensorModule::NeuronNoValidatorPermit`.
    #[error(
        "the hotkey has no validator permit: only the validators with the most stake may set weights on others"
    )]
    NoValidatorPermit,
    /// `SubtensorModule::DuplicateUids`.
    #[error("a uid has two weights: give each uid once")]
    DuplicateUids,
    /// `SubtensorModule::UidVecContainInvalidOne`.
    #[error("a uid with a weight is not on the subnet: read the metagraph again")]
    UnknownUid,
    /// `SubtensorModule::WeightVecLengthIsLow`.
    #[error("there are fewer weights than the subnet's MinAllowedWeights: add uids of weight 0")]
    TooFewWeights,
    /// `SubtensorModule::MaxWeightExceeded`.
    #[error("one weight has a larger share than the subnet's MaxWeightsLimit: spread the weights")]
    WeightTooLarge,
    /// `SubtensorModule::CommitRevealEnabled`.
    #[error("the subnet requires commit-reveal: it does not accept plain weights, commit them first")]
    CommitRevealOn,
    /// `SubtensorModule::CommitRevealDisabled`.
    #[error("the subnet has just switched commit-reveal off: set the weights openly")]
    CommitRevealOff,
    /// `SubtensorModule::IncorrectCommitRevealVersion`.
    #[error("the chain takes commits of another version than this program makes: look for an update")]
    CommitVersion,
    /// `SubtensorModule::TooManyUnrevealedCommits`.
    #[error("ten commits of the hotkey wait for their reveal: commit again in the next epoch")]
    TooManyCommits,
    /// `SubtensorModule::InvalidRevealRound`; pool 15.
    #[error("the round of the commit is over, so that all could read it: encrypt the weights again")]
    RevealRoundOver,
    /// `SubtensorModule::NoWeightsCommitFound`; pool 16.
    #[error("the chain has no such commit of the hotkey: it was revealed, has expired, or was never made")]
    NoCommit,
    /// `SubtensorModule::InvalidRevealCommitHashNotMatch`.
    #[error("the revealed weights match no commit: reveal exactly the weights, salt and key of the commit")]
    CommitDiffers,
    /// `SubtensorModule::RevealTooEarly`; pool 17.
    #[error("the commit cannot be revealed in this epoch: wait for the epoch of its reveal")]
    RevealTooEarly,
    /// `SubtensorModule::ExpiredWeightCommit`.
    #[error("the epoch of the reveal is over, and the commit has expired: commit new weights")]
    CommitExpired,

    // Registration.
    /// `SubtensorModule::RegistrationNotPermittedOnRootSubnet`.
    #[error("this call cannot register on the root network (netuid 0): name the subnet")]
    RootRegistration,
    /// `SubtensorModule::SubnetNotExists`; pool 3.
    #[error("the subnet does not exist: check the netuid")]
    NoSuchSubnet,
    /// `SubtensorModule::SubNetRegistrationDisabled`.
    #[error("registration on this subnet is closed: its owner can open it")]
    RegistrationClosed,
    /// `SubtensorModule::HotKeyAlreadyRegisteredInSubNet`.
    #[error("the hotkey is already registered on this subnet: nothing was paid, use it")]
    AlreadyRegistered,
    /// `SubtensorModule::NotEnoughBalanceToStake` (pool 2) and its like.
    #[error("the coldkey's balance does not cover the price: send TAO to it")]
    BalanceTooLow,
    /// `SubtensorModule::NonAssociatedColdKey`; pool 25.
    #[error("the hotkey belongs to another coldkey: sign with that coldkey, or use another hotkey")]
    ForeignHotkey,
    /// `SubtensorModule::NoNeuronIdAvailable`.
    #[error("the subnet is full and every neuron is immune: try again when an immunity period has ended")]
    SubnetFull,
    /// `SubtensorModule::RegistrationPriceLimitExceeded`.
    #[error(
        "registration costs more than the price cap: nothing was paid, raise the cap or wait until the price decays"
    )]
    PriceAboveCap,
    /// `SubtensorModule::TooManyRegistrationsThisBlock`, `…ThisInterval`.
    #[error("too many hotkeys registered on this subnet just now: try again in the next block or interval")]
    TooManyRegistrations,

    // Commitments.
    /// `Commitments::AccountNotAllowedCommit`.
    #[error("the hotkey may not commit: it is not registered on this subnet, register it first")]
    CommitNotAllowed,
    /// `Commitments::TooManyFieldsInCommitmentInfo`.
    #[error("the commitment has more fields than the chain accepts: give at most 3")]
    TooManyFields,
    /// `Commitments::SpaceLimitExceeded`.
    #[error("the hotkey's commitment space for this epoch is used up: wait for the next epoch")]
    SpaceUsedUp,
    /// `Commitments::TimelockRevealFailedNotAllowed`.
    #[error(
        "the commitment holds a field that only the chain may write (TimelockRevealFailed): leave it out"
    )]
    ChainOnlyField,

    // The runtime's numbers in the pool (code 1010, `Custom error: n`).
    /// Pool 4; `SubtensorModule::HotKeyAccountNotExists`.
    #[error("the chain does not know the hotkey: register it first")]
    UnknownHotkey,
    /// Pool 6; `SubtensorModule::TxRateLimitExceeded` and its like.
    #[error(
        "the chain's rate limit for this call has not passed: for weights, wait WeightsSetRateLimit blocks after the last ones"
    )]
    RateLimited,
    /// Pool 0; `SubtensorModule::ColdkeySwapAnnounced`.
    #[error("the coldkey is being swapped for another: wait until the swap is over")]
    ColdkeyInSwap,
    /// Pool 21; `SubtensorModule::ColdkeySwapDisputed`.
    #[error("the swap of the coldkey is disputed, and its calls are blocked: settle that first")]
    ColdkeySwapDisputed,
    /// `SubtensorModule::CallDisabled`, `DisabledTemporarily`, `Deprecated`.
    #[error("the chain has switched this call off: try again later, or look for an update")]
    CallOff,
    /// Pool 18; `SubtensorModule::InputLengthsUnequal`.
    #[error("the lists of the call have different lengths: give one entry of each per item")]
    LengthsDiffer,
    /// Pool 255.
    #[error(
        "the runtime refuses the call as a bad request: this program and the chain disagree, look for an update"
    )]
    BadRequest,

    // The pool itself.
    /// Code 1010, `Stale`.
    #[error("the transaction is outdated: its nonce is used, or its era is over; build it again")]
    Stale,
    /// Code 1010, `Future`.
    #[error("the nonce is too far ahead: an earlier transaction of the account is missing; build it again")]
    Future,
    /// Code 1010, `BadProof`.
    #[error(
        "the signature is invalid: the runtime may have been upgraded just now; build the transaction again"
    )]
    BadSignature,
    /// Code 1010, `AncientBirthBlock`.
    #[error("the transaction refers to a block that the node does not have: build it again")]
    AncientBirthBlock,
    /// Code 1010, `Payment`.
    #[error("the account cannot pay the fee: send TAO to it")]
    CannotPayFee,
    /// Code 1010, `ExhaustsResources`.
    #[error("the block has no room for the transaction: try again in the next block")]
    BlockFull,
    /// Code 1010, `BadSigner`, `Call`, `BadMandatory`, `MandatoryValidation`, `IndeterminateImplicit`,
    /// `UnknownOrigin`.
    #[error(
        "the runtime does not accept such a transaction ({0}): this program and the chain disagree, look for an update"
    )]
    NotAccepted(String),
    /// Code 1011.
    #[error("the node cannot tell whether the transaction is valid: try again, or use another node")]
    UnknownValidity,
    /// Code 1012.
    #[error(
        "the node has banned this transaction for a while, because it was invalid before: build it again in a few minutes"
    )]
    Banned,
    /// Code 1013.
    #[error("the node already has this transaction: wait for it to be in a block")]
    AlreadyImported,
    /// Code 1014.
    #[error("another transaction of the account waits with the same nonce: wait for it to be in a block")]
    NonceTaken,
    /// Codes 1015, 1016 and 1018.
    #[error(
        "the node's pool is full, or does not accept the transaction: try again in a few blocks, or use another node"
    )]
    PoolFull,
    /// Code 1001 and 1002.
    #[error("the node cannot read the transaction: this program and the chain disagree, look for an update")]
    Unreadable,

    // All other refusals.
    /// Another number of the runtime in the pool.
    #[error("the chain's pool refuses the transaction with its own code {0} (code 1010, Custom error: {0})")]
    OtherCustom(u8),
    /// Another error of the pool.
    #[error("the node refuses the transaction: {message} (code {code})")]
    OtherPool {
        /// The JSON-RPC code.
        code: i32,
        /// The node's message.
        message: String,
    },
    /// Another error of a pallet.
    #[error("the chain refuses the call: {pallet}::{name}")]
    OtherError {
        /// The pallet.
        pallet: String,
        /// The error's name in the live runtime's metadata.
        name: String,
    },
    /// A dispatch error that belongs to no pallet.
    #[error("the chain refuses the call: {0}")]
    OtherDispatch(String),
}

/// The time when a retry may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Never: something must change first, here or at another party.
    Never,
    /// At once, if the transaction is built again.
    Anew,
    /// In the next block.
    NextBlock,
    /// When the rate limit has passed.
    RateLimit,
    /// In the next epoch.
    NextEpoch,
    /// Later: in minutes or hours.
    Later,
}

impl Refusal {
    /// Returns the time when a retry of the same may help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::WeightsTooSoon | Self::RateLimited => Retry::RateLimit,
            Self::SpaceUsedUp | Self::TooManyCommits | Self::RevealTooEarly => Retry::NextEpoch,
            Self::TooManyRegistrations | Self::BlockFull => Retry::NextBlock,
            // The form of the weights is chosen again.
            Self::CommitRevealOn | Self::CommitRevealOff => Retry::NextBlock,
            Self::RevealRoundOver => Retry::Anew,
            Self::Stale | Self::Future | Self::BadSignature | Self::AncientBirthBlock => Retry::Anew,
            Self::AlreadyImported | Self::NonceTaken => Retry::NextBlock,
            Self::SubnetFull
            | Self::PriceAboveCap
            | Self::UnknownValidity
            | Self::Banned
            | Self::PoolFull
            | Self::CallOff
            | Self::ColdkeyInSwap => Retry::Later,
            _ => Retry::Never,
        }
    }

    /// Returns whether a retry of the same may help at some time.
    pub fn is_retryable(&self) -> bool {
        self.retry() != Retry::Never
    }
}
