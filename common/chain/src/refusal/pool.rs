//! Decodes refusals by a node's pool, before any block.
//!
//! The codes are `sc-rpc-api`'s `author` errors. The texts of code 1010 come from `sp-runtime`'s
//! `InvalidTransaction`, and the numbers in `Custom error: n` from the chain's `CustomTransactionError`.

use super::Refusal;

impl Refusal {
    /// Returns the refusal for a JSON-RPC error, if the error comes from the pool.
    pub fn from_pool(code: i32, message: &str, data: Option<&str>) -> Option<Self> {
        Some(match code {
            1001 | 1002 => Self::Unreadable,
            1010 => invalid(data.unwrap_or(message), code, message),
            1011 => Self::UnknownValidity,
            1012 => Self::Banned,
            1013 => Self::AlreadyImported,
            1014 => Self::NonceTaken,
            1015 | 1016 | 1018 => Self::PoolFull,
            1000..=1999 => Self::OtherPool { code, message: text(message, data) },
            _ => return None,
        })
    }
}

fn text(message: &str, data: Option<&str>) -> String {
    data.map_or_else(|| message.to_string(), |data| format!("{message}: {data}"))
}

fn invalid(detail: &str, code: i32, message: &str) -> Refusal {
    let number = detail.strip_prefix("Custom error: ").and_then(|number| number.trim().parse::<u8>().ok());
    if let Some(number) = number {
        return custom(number);
    }
    match detail {
        "Transaction is outdated" => Refusal::Stale,
        "Transaction will be valid in the future" => Refusal::Future,
        "Transaction has a bad signature" => Refusal::BadSignature,
        "Transaction has an ancient birth block" => Refusal::AncientBirthBlock,
        "Inability to pay some fees (e.g. account balance too low)" => Refusal::CannotPayFee,
        "Transaction would exhaust the block limits" => Refusal::BlockFull,
        "Transaction call is not expected"
        | "Invalid signing address"
        | "A call was labelled as mandatory, but resulted in an Error."
        | "Transaction dispatch is mandatory; transactions must not be validated."
        | "The implicit data was unable to be calculated"
        | "The transaction extension did not authorize any origin" => Refusal::NotAccepted(detail.into()),
        _ => Refusal::OtherPool {
            code,
            message: text(message, Some(detail).filter(|detail| *detail != message)),
        },
    }
}

/// The runtime's own numbers, with the pallet's error for which each stands. 14, 22, 23 and 24 are about
/// calls that Muster does not send, and stand for no error of the pallet. Source:
/// `CustomTransactionError` and its conversion from the pallet's errors (June 2026).
const CUSTOM: &[(u8, &str)] = &[
    (0, "ColdkeySwapAnnounced"),
    (1, "NotEnoughStakeToSetWeights"),
    (2, "NotEnoughBalanceToStake"),
    (3, "SubnetNotExists"),
    (4, "HotKeyAccountNotExists"),
    (5, "NotEnoughStakeToWithdraw"),
    // Of all rate limits, those of weights and commits too.
    (6, "TxRateLimitExceeded"),
    (7, "InsufficientLiquidity"),
    (8, "SlippageTooHigh"),
    (9, "TransferDisallowed"),
    (10, "HotKeyNotRegisteredInNetwork"),
    (11, "InvalidIpAddress"),
    (12, "ServingRateLimitExceeded"),
    (13, "InvalidPort"),
    (15, "InvalidRevealRound"),
    (16, "NoWeightsCommitFound"),
    (17, "RevealTooEarly"),
    (18, "InputLengthsUnequal"),
    (19, "HotKeyNotRegisteredInSubNet"),
    (20, "EvmKeyAssociateRateLimitExceeded"),
    (21, "ColdkeySwapDisputed"),
    (25, "NonAssociatedColdKey"),
    (26, "DelegateTakeTooLow"),
    (27, "DelegateTakeTooHigh"),
];

fn custom(number: u8) -> Refusal {
    match CUSTOM.iter().find(|(code, _)| *code == number) {
        Some((_, name)) => Refusal::from_pallet("SubtensorModule", name),
        None if number == u8::MAX => Refusal::BadRequest,
        None => Refusal::OtherCustom(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Retry;

    /// Each answer of the pool that our calls can meet: code, data, time of a retry, message for the user.
    const TABLE: &[(i32, &str, Retry, &str)] = &[
        (
            1010,
            "Custom error: 0",
            Retry::Later,
            "the coldkey is being swapped for another: wait until the swap is over",
        ),
        (
            1010,
            "Custom error: 1",
            Retry::Never,
            "the hotkey has too little stake to set weights on this subnet: add stake, or get delegations",
        ),
        (
            1010,
            "Custom error: 2",
            Retry::Never,
            "the coldkey's balance does not cover the price: send TAO to it",
        ),
        (1010, "Custom error: 3", Retry::Never, "the subnet does not exist: check the netuid"),
        (1010, "Custom error: 4", Retry::Never, "the chain does not know the hotkey: register it first"),
        (
            1010,
            "Custom error: 6",
            Retry::RateLimit,
            "the chain's rate limit for this call has not passed: for weights, wait WeightsSetRateLimit blocks after the last ones",
        ),
        (
            1010,
            "Custom error: 10",
            Retry::Never,
            "the hotkey is not registered on this subnet: register it first (it may have been replaced by a newer one)",
        ),
        (
            1010,
            "Custom error: 18",
            Retry::Never,
            "the lists of the call have different lengths: give one entry of each per item",
        ),
        (
            1010,
            "Custom error: 19",
            Retry::Never,
            "the hotkey is not registered on this subnet: register it first (it may have been replaced by a newer one)",
        ),
        (
            1010,
            "Custom error: 15",
            Retry::Anew,
            "the round of the commit is over, so that all could read it: encrypt the weights again",
        ),
        (
            1010,
            "Custom error: 16",
            Retry::Never,
            "the chain has no such commit of the hotkey: it was revealed, has expired, or was never made",
        ),
        (
            1010,
            "Custom error: 17",
            Retry::NextEpoch,
            "the commit cannot be revealed in this epoch: wait for the epoch of its reveal",
        ),
        (
            1010,
            "Custom error: 21",
            Retry::Never,
            "the swap of the coldkey is disputed, and its calls are blocked: settle that first",
        ),
        (
            1010,
            "Custom error: 26",
            Retry::Never,
            "the chain refuses the call: SubtensorModule::DelegateTakeTooLow",
        ),
        (
            1010,
            "Custom error: 25",
            Retry::Never,
            "the hotkey belongs to another coldkey: sign with that coldkey, or use another hotkey",
        ),
        (
            1010,
            "Custom error: 255",
            Retry::Never,
            "the runtime refuses the call as a bad request: this program and the chain disagree, look for an update",
        ),
        (
            1010,
            "Custom error: 24",
            Retry::Never,
            "the chain's pool refuses the transaction with its own code 24 (code 1010, Custom error: 24)",
        ),
        (
            1010,
            "Transaction is outdated",
            Retry::Anew,
            "the transaction is outdated: its nonce is used, or its era is over; build it again",
        ),
        (
            1010,
            "Transaction will be valid in the future",
            Retry::Anew,
            "the nonce is too far ahead: an earlier transaction of the account is missing; build it again",
        ),
        (
            1010,
            "Transaction has a bad signature",
            Retry::Anew,
            "the signature is invalid: the runtime may have been upgraded just now; build the transaction again",
        ),
        (
            1010,
            "Transaction has an ancient birth block",
            Retry::Anew,
            "the transaction refers to a block that the node does not have: build it again",
        ),
        (
            1010,
            "Inability to pay some fees (e.g. account balance too low)",
            Retry::Never,
            "the account cannot pay the fee: send TAO to it",
        ),
        (
            1010,
            "Transaction would exhaust the block limits",
            Retry::NextBlock,
            "the block has no room for the transaction: try again in the next block",
        ),
        (
            1010,
            "Invalid signing address",
            Retry::Never,
            "the runtime does not accept such a transaction (Invalid signing address): this program and the chain disagree, look for an update",
        ),
        (
            1010,
            "something new",
            Retry::Never,
            "the node refuses the transaction: Invalid Transaction: something new (code 1010)",
        ),
        (
            1011,
            "",
            Retry::Later,
            "the node cannot tell whether the transaction is valid: try again, or use another node",
        ),
        (
            1012,
            "",
            Retry::Later,
            "the node has banned this transaction for a while, because it was invalid before: build it again in a few minutes",
        ),
        (1013, "", Retry::NextBlock, "the node already has this transaction: wait for it to be in a block"),
        (
            1014,
            "",
            Retry::NextBlock,
            "another transaction of the account waits with the same nonce: wait for it to be in a block",
        ),
        (
            1016,
            "",
            Retry::Later,
            "the node's pool is full, or does not accept the transaction: try again in a few blocks, or use another node",
        ),
        (
            1001,
            "",
            Retry::Never,
            "the node cannot read the transaction: this program and the chain disagree, look for an update",
        ),
        (1017, "x", Retry::Never, "the node refuses the transaction: Invalid Transaction: x (code 1017)"),
    ];

    #[test]
    fn the_runtimes_numbers_stand_for_errors_that_it_has() {
        let metadata = chain_metadata::runtime::pinned();
        let errors = metadata.pallet_by_name("SubtensorModule").unwrap().error_variants().unwrap();
        for (code, name) in CUSTOM {
            assert!(errors.iter().any(|error| error.name == *name), "{code} {name}");
        }
        let missing: Vec<u8> =
            (0..=27).filter(|code| CUSTOM.iter().all(|(known, _)| known != code)).collect();
        assert_eq!(missing, [14, 22, 23, 24]);
    }

    #[test]
    fn every_answer_of_the_pool_has_its_message() {
        for (code, data, retry, message) in TABLE {
            let refusal = Refusal::from_pool(*code, "Invalid Transaction", Some(data)).unwrap();
            assert_eq!(refusal.to_string(), *message, "{code} {data}");
            assert_eq!(refusal.retry(), *retry, "{code} {data}");
            assert_eq!(refusal.is_retryable(), *retry != Retry::Never);
        }
    }

    #[test]
    fn other_errors_are_not_the_pools() {
        assert_eq!(Refusal::from_pool(-32601, "Method not found", None), None);
        assert_eq!(Refusal::from_pool(4003, "Client error", None), None);
    }

    #[test]
    fn a_number_that_is_no_byte_is_no_code() {
        for data in ["Custom error: 256", "Custom error: -1", "Custom error: "] {
            let refusal = Refusal::from_pool(1010, "Invalid Transaction", Some(data));
            assert!(matches!(refusal, Some(Refusal::OtherPool { .. })), "{data}");
        }
    }
}
