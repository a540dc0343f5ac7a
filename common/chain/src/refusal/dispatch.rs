//! Decodes refusals by the runtime, in a block.

use super::Refusal;

impl Refusal {
    /// Returns the refusal for a pallet's error. An unknown error keeps its name.
    pub fn from_pallet(pallet: &str, name: &str) -> Self {
        let known = match pallet {
            "SubtensorModule" => subtensor(name),
            "Commitments" => commitments(name),
            _ => None,
        };
        known.unwrap_or_else(|| Self::OtherError { pallet: pallet.into(), name: name.into() })
    }
}

fn subtensor(name: &str) -> Option<Refusal> {
    Some(match name {
        "CanNotSetRootNetworkWeights" => Refusal::RootWeights,
        "WeightVecNotEqualSize" => Refusal::WeightsAndUidsDiffer,
        "MechanismDoesNotExist" => Refusal::NoSuchMechanism,
        "UidsLengthExceedUidsInSubNet" => Refusal::MoreWeightsThanNeurons,
        "HotKeyNotRegisteredInSubNet" | "HotKeyNotRegisteredInNetwork" => Refusal::NotRegistered,
        "NotEnoughStakeToSetWeights" => Refusal::StakeTooLow,
        "IncorrectWeightVersionKey" => Refusal::VersionKeyTooOld,
        "SettingWeightsTooFast" | "CommittingWeightsTooFast" => Refusal::WeightsTooSoon,
        "NeuronNoValidatorPermit" => Refusal::NoValidatorPermit,
        "DuplicateUids" => Refusal::DuplicateUids,
        "UidVecContainInvalidOne" => Refusal::UnknownUid,
        "WeightVecLengthIsLow" => Refusal::TooFewWeights,
        "MaxWeightExceeded" => Refusal::WeightTooLarge,
        "CommitRevealEnabled" => Refusal::CommitRevealOn,
        "CommitRevealDisabled" => Refusal::CommitRevealOff,
        "IncorrectCommitRevealVersion" => Refusal::CommitVersion,
        "TooManyUnrevealedCommits" => Refusal::TooManyCommits,
        "InvalidRevealRound" => Refusal::RevealRoundOver,
        "NoWeightsCommitFound" => Refusal::NoCommit,
        "InvalidRevealCommitHashNotMatch" => Refusal::CommitDiffers,
        "RevealTooEarly" => Refusal::RevealTooEarly,
        "ExpiredWeightCommit" => Refusal::CommitExpired,
        "RegistrationNotPermittedOnRootSubnet" => Refusal::RootRegistration,
        "SubnetNotExists" => Refusal::NoSuchSubnet,
        "SubNetRegistrationDisabled" => Refusal::RegistrationClosed,
        "HotKeyAlreadyRegisteredInSubNet" => Refusal::AlreadyRegistered,
        "NotEnoughBalanceToStake"
        | "InsufficientTaoBalance"
        | "BalanceWithdrawalError"
        | "ZeroBalanceAfterWithdrawn" => Refusal::BalanceTooLow,
        "NonAssociatedColdKey" => Refusal::ForeignHotkey,
        "NoNeuronIdAvailable" => Refusal::SubnetFull,
        "RegistrationPriceLimitExceeded" => Refusal::PriceAboveCap,
        "TooManyRegistrationsThisBlock" | "TooManyRegistrationsThisInterval" => Refusal::TooManyRegistrations,
        "HotKeyAccountNotExists" => Refusal::UnknownHotkey,
        "TxRateLimitExceeded" | "NetworkTxRateLimitExceeded" => Refusal::RateLimited,
        "ColdkeySwapAnnounced" => Refusal::ColdkeyInSwap,
        "ColdkeySwapDisputed" => Refusal::ColdkeySwapDisputed,
        "CallDisabled" | "DisabledTemporarily" | "Deprecated" => Refusal::CallOff,
        "InputLengthsUnequal" => Refusal::LengthsDiffer,
        _ => return None,
    })
}

fn commitments(name: &str) -> Option<Refusal> {
    Some(match name {
        "AccountNotAllowedCommit" => Refusal::CommitNotAllowed,
        "TooManyFieldsInCommitmentInfo" => Refusal::TooManyFields,
        "SpaceLimitExceeded" => Refusal::SpaceUsedUp,
        "TimelockRevealFailedNotAllowed" => Refusal::ChainOnlyField,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each error of the chain that our calls can meet, with its message for the user.
    const TABLE: &[(&str, &str, &str)] = &[
        (
            "SubtensorModule",
            "CanNotSetRootNetworkWeights",
            "cannot set weights on the root network (netuid 0): name the subnet",
        ),
        (
            "SubtensorModule",
            "WeightVecNotEqualSize",
            "the numbers of weights and uids differ: give one weight for each uid",
        ),
        (
            "SubtensorModule",
            "MechanismDoesNotExist",
            "the subnet does not exist, or has no such mechanism: check the netuid",
        ),
        (
            "SubtensorModule",
            "UidsLengthExceedUidsInSubNet",
            "there are more weights than the subnet has neurons: read the metagraph again",
        ),
        (
            "SubtensorModule",
            "HotKeyNotRegisteredInSubNet",
            "the hotkey is not registered on this subnet: register it first (it may have been replaced by a newer one)",
        ),
        (
            "SubtensorModule",
            "NotEnoughStakeToSetWeights",
            "the hotkey has too little stake to set weights on this subnet: add stake, or get delegations",
        ),
        (
            "SubtensorModule",
            "IncorrectWeightVersionKey",
            "the subnet requires a newer version key: update this program, as the subnet's owner asks",
        ),
        (
            "SubtensorModule",
            "SettingWeightsTooFast",
            "the last weights are too recent: wait until WeightsSetRateLimit blocks have passed since then",
        ),
        (
            "SubtensorModule",
            "NeuronNoValidatorPermit",
            "the hotkey has no validator permit: only the validators with the most stake may set weights on others",
        ),
        ("SubtensorModule", "DuplicateUids", "a uid has two weights: give each uid once"),
        (
            "SubtensorModule",
            "UidVecContainInvalidOne",
            "a uid with a weight is not on the subnet: read the metagraph again",
        ),
        (
            "SubtensorModule",
            "WeightVecLengthIsLow",
            "there are fewer weights than the subnet's MinAllowedWeights: add uids of weight 0",
        ),
        (
            "SubtensorModule",
            "MaxWeightExceeded",
            "one weight has a larger share than the subnet's MaxWeightsLimit: spread the weights",
        ),
        (
            "SubtensorModule",
            "CommitRevealEnabled",
            "the subnet requires commit-reveal: it does not accept plain weights, commit them first",
        ),
        (
            "SubtensorModule",
            "CommitRevealDisabled",
            "the subnet has just switched commit-reveal off: set the weights openly",
        ),
        (
            "SubtensorModule",
            "IncorrectCommitRevealVersion",
            "the chain takes commits of another version than this program makes: look for an update",
        ),
        (
            "SubtensorModule",
            "TooManyUnrevealedCommits",
            "ten commits of the hotkey wait for their reveal: commit again in the next epoch",
        ),
        (
            "SubtensorModule",
            "InvalidRevealRound",
            "the round of the commit is over, so that all could read it: encrypt the weights again",
        ),
        (
            "SubtensorModule",
            "NoWeightsCommitFound",
            "the chain has no such commit of the hotkey: it was revealed, has expired, or was never made",
        ),
        (
            "SubtensorModule",
            "InvalidRevealCommitHashNotMatch",
            "the revealed weights match no commit: reveal exactly the weights, salt and key of the commit",
        ),
        (
            "SubtensorModule",
            "RevealTooEarly",
            "the commit cannot be revealed in this epoch: wait for the epoch of its reveal",
        ),
        (
            "SubtensorModule",
            "ExpiredWeightCommit",
            "the epoch of the reveal is over, and the commit has expired: commit new weights",
        ),
        (
            "SubtensorModule",
            "ColdkeySwapDisputed",
            "the swap of the coldkey is disputed, and its calls are blocked: settle that first",
        ),
        (
            "SubtensorModule",
            "CallDisabled",
            "the chain has switched this call off: try again later, or look for an update",
        ),
        (
            "SubtensorModule",
            "RegistrationNotPermittedOnRootSubnet",
            "this call cannot register on the root network (netuid 0): name the subnet",
        ),
        ("SubtensorModule", "SubnetNotExists", "the subnet does not exist: check the netuid"),
        (
            "SubtensorModule",
            "SubNetRegistrationDisabled",
            "registration on this subnet is closed: its owner can open it",
        ),
        (
            "SubtensorModule",
            "HotKeyAlreadyRegisteredInSubNet",
            "the hotkey is already registered on this subnet: nothing was paid, use it",
        ),
        (
            "SubtensorModule",
            "NotEnoughBalanceToStake",
            "the coldkey's balance does not cover the price: send TAO to it",
        ),
        (
            "SubtensorModule",
            "NonAssociatedColdKey",
            "the hotkey belongs to another coldkey: sign with that coldkey, or use another hotkey",
        ),
        (
            "SubtensorModule",
            "NoNeuronIdAvailable",
            "the subnet is full and every neuron is immune: try again when an immunity period has ended",
        ),
        (
            "SubtensorModule",
            "RegistrationPriceLimitExceeded",
            "registration costs more than the price cap: nothing was paid, raise the cap or wait until the price decays",
        ),
        (
            "SubtensorModule",
            "TooManyRegistrationsThisBlock",
            "too many hotkeys registered on this subnet just now: try again in the next block or interval",
        ),
        (
            "SubtensorModule",
            "HotKeyAccountNotExists",
            "the chain does not know the hotkey: register it first",
        ),
        (
            "SubtensorModule",
            "TxRateLimitExceeded",
            "the chain's rate limit for this call has not passed: for weights, wait WeightsSetRateLimit blocks after the last ones",
        ),
        (
            "SubtensorModule",
            "ColdkeySwapAnnounced",
            "the coldkey is being swapped for another: wait until the swap is over",
        ),
        (
            "SubtensorModule",
            "InputLengthsUnequal",
            "the lists of the call have different lengths: give one entry of each per item",
        ),
        (
            "Commitments",
            "AccountNotAllowedCommit",
            "the hotkey may not commit: it is not registered on this subnet, register it first",
        ),
        (
            "Commitments",
            "TooManyFieldsInCommitmentInfo",
            "the commitment has more fields than the chain accepts: give at most 3",
        ),
        (
            "Commitments",
            "SpaceLimitExceeded",
            "the hotkey's commitment space for this epoch is used up: wait for the next epoch",
        ),
        (
            "Commitments",
            "TimelockRevealFailedNotAllowed",
            "the commitment holds a field that only the chain may write (TimelockRevealFailed): leave it out",
        ),
        ("Balances", "InsufficientBalance", "the chain refuses the call: Balances::InsufficientBalance"),
        ("SubtensorModule", "SomethingNew", "the chain refuses the call: SubtensorModule::SomethingNew"),
    ];

    /// The errors of the pinned runtime that none of our calls can meet: they are about stake, swaps of keys,
    /// the owner's settings, leases, root claims and the like. They keep their names.
    const OTHERS: &[&str] = &[
        "RootNetworkDoesNotExist",
        "InvalidIpType",
        "InvalidIpAddress",
        "InvalidPort",
        "NotEnoughStake",
        "NotEnoughStakeToWithdraw",
        "NotEnoughStakeToSetChildkeys",
        "NewHotKeyIsSameWithOld",
        "NewHotKeyNotCleanForRootSwap",
        "InvalidWorkBlock",
        "InvalidDifficulty",
        "InvalidSeal",
        "HotKeyAlreadyDelegate",
        "ServingRateLimitExceeded",
        "DelegateTxRateLimitExceeded",
        "HotKeySetTxRateLimitExceeded",
        "StakingRateLimitExceeded",
        "TransactorAccountShouldBeHotKey",
        "FaucetDisabled",
        "NotSubnetOwner",
        "StakeTooLowForRoot",
        "AllNetworksInImmunity",
        "NotEnoughBalanceToPaySwapHotKey",
        "NotRootSubnet",
        "DelegateTakeTooLow",
        "DelegateTakeTooHigh",
        "LiquidAlphaDisabled",
        "AlphaHighTooLow",
        "AlphaLowOutOfRange",
        "ColdKeyAlreadyAssociated",
        "NotEnoughBalanceToPaySwapColdKey",
        "InvalidChild",
        "DuplicateChild",
        "ProportionOverflow",
        "TooManyChildren",
        "ColdkeySwapAnnouncementNotFound",
        "ColdkeySwapTooEarly",
        "ColdkeySwapReannouncedTooEarly",
        "AnnouncedColdkeyHashDoesNotMatch",
        "ColdkeySwapAlreadyDisputed",
        "NewColdKeyIsHotkey",
        "InvalidChildkeyTake",
        "TxChildkeyTakeRateLimitExceeded",
        "InvalidIdentity",
        "StakeUnavailable",
        "AmountTooLow",
        "InsufficientLiquidity",
        "SlippageTooHigh",
        "TransferDisallowed",
        "ActivityCutoffTooLow",
        "FirstEmissionBlockNumberAlreadySet",
        "NeedWaitingMoreBlocksToStarCall",
        "NotEnoughAlphaOutToRecycle",
        "CannotBurnOrRecycleOnRootSubnet",
        "UnableToRecoverPublicKey",
        "InvalidRecoveredPublicKey",
        "SubtokenDisabled",
        "HotKeySwapOnSubnetIntervalNotPassed",
        "KeepStakeBlockedByCollateral",
        "SameNetuid",
        "InvalidLeaseBeneficiary",
        "LeaseCannotEndInThePast",
        "LeaseNetuidNotFound",
        "LeaseDoesNotExist",
        "LeaseHasNoEndBlock",
        "LeaseHasNotEnded",
        "Overflow",
        "BeneficiaryDoesNotOwnHotkey",
        "ExpectedBeneficiaryOrigin",
        "AdminActionProhibitedDuringWeightsWindow",
        "SymbolDoesNotExist",
        "SymbolAlreadyInUse",
        "RevealPeriodTooLarge",
        "RevealPeriodTooSmall",
        "InvalidValue",
        "SubnetLimitReached",
        "CannotAffordLockCost",
        "EvmKeyAssociateRateLimitExceeded",
        "EvmKeyAssociationLimitExceeded",
        "SameAutoStakeHotkeyAlreadySet",
        "UidMapCouldNotBeCleared",
        "TrimmingWouldExceedMaxImmunePercentage",
        "ChildParentInconsistency",
        "InvalidRootClaimThreshold",
        "TooManyUIDsPerMechanism",
        "VotingPowerTrackingNotEnabled",
        "InvalidVotingPowerEmaAlpha",
        "SubnetBuybackRateLimitExceeded",
        "NetworkDissolveAlreadyQueued",
        "AddStakeBurnRateLimitExceeded",
        "ColdkeySwapClearTooEarly",
        "LockHotkeyMismatch",
        "InsufficientStakeForLock",
        "NoExistingLock",
        "ActiveLockExists",
        "CannotUseSystemAccount",
        "UnlockAmountTooHigh",
        "WaitingForDissolvedSubnetCleanup",
        "TempoOutOfBounds",
        "ActivityCutoffFactorMilliOutOfBounds",
        "EpochTriggerAlreadyPending",
        "AutoEpochAlreadyImminent",
        "DynamicTempoBlockedByCommitReveal",
        "AccountRejectsLockedAlpha",
        "LockIdOverFlow",
        "StartCallNotReady",
        "InsufficientAlphaBalance",
        "ColdkeyCollateralIncomplete",
        "ColdkeyCollateralPositionsFull",
        "BasketHasNoWeights",
        "RootStakeLocked",
        "BetaBasketSeedInProgress",
        "RootWeightSettingDisabled",
        "RootClaimTooHeavy",
        "BasketConcentrationCapExceeded",
        "BasketDepositPending",
        "BasketTradingDisabled",
        "BasketTradingFrozen",
        "BasketTurnoverBudgetExceeded",
        "BasketSameSubnet",
        "BasketLiquidityCapExceeded",
        "BasketMinOutNotMet",
    ];

    #[test]
    fn each_error_of_the_runtime_is_known_or_of_other_calls() {
        let metadata = chain_metadata::runtime::pinned();
        for (pallet, others) in
            [("SubtensorModule", OTHERS), ("Commitments", &["UnexpectedUnreserveLeftover"])]
        {
            let errors = metadata.pallet_by_name(pallet).unwrap().error_variants().unwrap();
            for error in errors {
                let is_known =
                    !matches!(Refusal::from_pallet(pallet, &error.name), Refusal::OtherError { .. });
                let is_other = others.contains(&error.name.as_str());
                assert!(is_known != is_other, "{pallet}::{}: give it a meaning, or list it", error.name);
            }
            for other in others {
                assert!(
                    errors.iter().any(|error| error.name == *other),
                    "the runtime has no {other} any more"
                );
            }
        }
    }

    #[test]
    fn every_error_has_its_message() {
        for (pallet, name, message) in TABLE {
            assert_eq!(Refusal::from_pallet(pallet, name).to_string(), *message);
        }
    }

    #[test]
    fn every_name_is_an_error_of_the_pinned_runtime_or_of_an_older_one() {
        let metadata = chain_metadata::runtime::pinned();
        let invented = ["SomethingNew"];
        for (pallet, name, _) in TABLE.iter().filter(|(_, name, _)| !invented.contains(name)) {
            let errors = metadata.pallet_by_name(pallet).unwrap().error_variants().unwrap();
            assert!(errors.iter().any(|error| error.name == *name), "{pallet}::{name}");
        }
    }

    #[test]
    fn no_known_error_falls_through() {
        for (pallet, name, _) in
            TABLE.iter().filter(|(pallet, name, _)| *pallet != "Balances" && *name != "SomethingNew")
        {
            assert!(
                !matches!(Refusal::from_pallet(pallet, name), Refusal::OtherError { .. }),
                "{pallet}::{name}"
            );
        }
    }
}
