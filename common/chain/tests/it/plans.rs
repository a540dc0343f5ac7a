//! Tests of what is foreseen without sending it, against what it costs then.

use base::Rao;
use chain::{Call, Client, RegisterError, Registration};
use devchain::Genesis;
use jsonrpsee::types::ErrorObjectOwned;

use crate::{proxy::Proxy, support::*};

const TAO: Rao = Rao(1_000_000_000);

#[tokio::test]
async fn a_registration_costs_its_price_and_at_most_the_fee_that_was_foreseen() {
    let mut genesis = Genesis::default();
    genesis.subnet.burn_half_life = 0; // The price stays until the registration.
    let chain = start(genesis).await;
    let client = connect(&chain).await;
    let (hotkey, dave) = (key("//New").hotkey(), key("//Dave"));
    let plan = client.plan_registration(SUBNET, &hotkey, &dave.coldkey(), Some(TAO)).await.unwrap();
    assert_eq!((&plan.present, &plan.obstacle), (&None, &None));
    assert_eq!(plan.call, Call::RegisterLimit { netuid: SUBNET, hotkey, limit: TAO });
    assert_eq!(plan.costs.existential_deposit, Some(Rao(500)));

    let registration = in_time(client.register(SUBNET, &hotkey, &dave, TAO)).await.unwrap();
    let Registration::New { uid, paid, block, .. } = registration else { panic!("{registration:?}") };
    assert_eq!(paid, plan.costs.price);
    let after = client.at(block).balance(&dave.coldkey()).await.unwrap();
    // The chain gives back the fee of work that a call did not need.
    let dearest = plan.costs.balance_after().unwrap();
    let cheapest = Rao(plan.costs.balance.0 - paid.0);
    assert!((dearest..=cheapest).contains(&after), "{after} of {dearest} to {cheapest}");

    let again = client.plan_registration(SUBNET, &hotkey, &dave.coldkey(), Some(TAO)).await.unwrap();
    assert_eq!(again.present.map(|present| present.uid()), Some(uid));
    assert_eq!(again.obstacle, None);
}

#[tokio::test]
async fn a_plan_tells_what_the_chain_would_refuse() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let (hotkey, poor) = (key("//New").hotkey(), key("//Poor").coldkey());
    let plan = client.plan_registration(SUBNET, &hotkey, &poor, None).await.unwrap();
    assert!(matches!(plan.obstacle, Some(RegisterError::BalanceTooLow { .. })), "{:?}", plan.obstacle);
    assert!(plan.costs.are_too_high() && plan.costs.balance_after().is_none());
    let rich = key("//Dave").coldkey();
    let plan = client.plan_registration(SUBNET, &hotkey, &rich, Some(Rao(1))).await.unwrap();
    assert!(matches!(plan.obstacle, Some(RegisterError::PriceAboveCap { .. })), "{:?}", plan.obstacle);
}

#[tokio::test]
async fn a_runtime_that_tells_no_fees_leaves_them_unknown() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    proxy.rewrite("state_call", |params, answer| match params[0].as_str() {
        Some("TransactionPaymentApi_query_info") => {
            let message = "Client error: Execution failed: Exported method \
                           TransactionPaymentApi_query_info is not found";
            Err(ErrorObjectOwned::owned(4003, message, None::<()>))
        }
        _ => answer,
    });
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let (hotkey, dave) = (key("//New").hotkey(), key("//Dave").coldkey());
    let plan = client.plan_registration(SUBNET, &hotkey, &dave, None).await.unwrap();
    assert_eq!((plan.costs.fee, plan.costs.balance_after()), (None, None));
    assert!(plan.obstacle.is_none() && !plan.costs.are_too_high());
}
