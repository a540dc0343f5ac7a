use super::*;
use proptest::prelude::*;

#[test]
fn amounts_as_people_write_them() {
    for (text, rao) in [
        ("1", 1_000_000_000),
        ("0.5 TAO", 500_000_000),
        (".5τ", 500_000_000),
        ("500 rao", 500),
        ("  2.000000001tao ", 2_000_000_001),
        ("1.50000000000000000000", 1_500_000_000),
        ("18446744073.709551615", u64::MAX),
    ] {
        assert_eq!(text.parse(), Ok(Rao(rao)), "{text}");
    }
}

#[test]
fn what_is_not_an_amount() {
    for text in ["", ".", "TAO", "-1", "1e9", "1,5", "1.2.3", "+1", "0x10", "1 BTC"] {
        assert_eq!(text.parse::<Rao>(), Err(ParseRaoError::NotAnAmount(text.into())), "{text}");
    }
    assert!(matches!("0.0000000001".parse::<Rao>(), Err(ParseRaoError::TooFine(_))));
    assert!(matches!("1.5 rao".parse::<Rao>(), Err(ParseRaoError::TooFine(_))));
    assert!(matches!("18446744073.709551616".parse::<Rao>(), Err(ParseRaoError::TooMuch(_))));
}

#[test]
fn amounts_are_shown_shortly() {
    assert_eq!(Rao(0).to_string(), "0 TAO");
    assert_eq!(Rao(1).to_string(), "0.000000001 TAO");
    assert_eq!(Rao(1_500_000_000).to_string(), "1.5 TAO");
    assert_eq!(serde_json::to_string(&Rao(500)).unwrap(), "\"0.0000005 TAO\"");
}

proptest! {
    #[test]
    fn amounts_round_trip(rao: u64) {
        prop_assert_eq!(Rao(rao).to_string().parse(), Ok(Rao(rao)));
        prop_assert_eq!(format!("{rao} rao").parse(), Ok(Rao(rao)));
    }

    #[test]
    fn any_text_is_refused_or_read(text in ".{0,40}") {
        let _ = text.parse::<Rao>();
    }
}
