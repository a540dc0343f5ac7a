//! Tests with nodes that go silent or limit requests, in each phase of a connection.

use std::time::Duration;

use base::commitment::{Field, Fields};
use chain::{BlocksError, Call, Client, Options, TransactionError, error::ConnectError};
use devchain::{Devchain, Genesis, Proxy, ProxyFault};

use crate::support::*;

/// A phase in which a node goes silent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Connect,
    Handshake,
    FirstRequest,
    Metadata,
    Subscribe,
    Read,
    Submit,
    Blocks,
    Everything,
}

impl Phase {
    const ALL: [Self; 9] = [
        Self::Connect,
        Self::Handshake,
        Self::FirstRequest,
        Self::Metadata,
        Self::Subscribe,
        Self::Read,
        Self::Submit,
        Self::Blocks,
        Self::Everything,
    ];

    fn fault(self) -> ProxyFault {
        let method = |name: &str| ProxyFault::SilentMethod(name.into());
        match self {
            Self::Connect => ProxyFault::SilentConnect,
            Self::Handshake => ProxyFault::SilentHandshake,
            Self::FirstRequest => method("chain_getBlockHash"),
            Self::Metadata => method("state_call"),
            Self::Subscribe => method("chain_subscribeFinalizedHeads"),
            Self::Read => method("state_queryStorageAt"),
            Self::Submit => method("author_submitAndWatchExtrinsic"),
            Self::Blocks => ProxyFault::SilentSubscriptions,
            Self::Everything => ProxyFault::Silent,
        }
    }

    /// Returns whether a client cannot even connect in this phase.
    fn is_of_connecting(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::Handshake | Self::FirstRequest | Self::Metadata | Self::Everything
        )
    }
}

/// Returns options with short deadlines. They are long enough for a healthy node on a busy machine.
fn impatient(endpoints: Vec<String>) -> Options {
    Options {
        endpoints,
        stall_blocks: 100,
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(1),
        patience: Duration::from_secs(4),
        ..options("")
    }
}

async fn proxied(chain: &Devchain) -> Proxy {
    Proxy::start(chain.address()).await.unwrap()
}

fn commit(byte: u8) -> Call {
    let fields = Fields::new(vec![Field::raw([byte; 8]).unwrap()]).unwrap();
    Call::SetCommitment { netuid: SUBNET, fields }
}

/// Uses the client in all ways: blocks, a read, a transaction.
async fn works(client: &Client) {
    let mut blocks = client.blocks().await.unwrap();
    for _ in 0..3 {
        blocks.next().await.unwrap();
    }
    client.best().await.unwrap();
    // A transaction that a silent node swallowed may be sent again by the next call.
    while let Err(error) = client.submit(&commit(1), &validator("Alice")).await {
        assert!(error.is_retryable(), "{error}");
    }
}

async fn leads_to_the_next_endpoint(phase: Phase, is_connected: bool) {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let options = impatient(vec![proxy.url(), chain.url()]);
    if !is_connected {
        proxy.set(phase.fault());
    }
    let client = in_time(Client::connect(options)).await;
    let client = client.unwrap_or_else(|error| panic!("{phase:?}: {error}"));
    if is_connected {
        proxy.set(phase.fault());
        if matches!(phase, Phase::Connect | Phase::Handshake | Phase::FirstRequest | Phase::Metadata) {
            proxy.cut(); // These phases belong to a new connection.
        }
    }
    in_time(works(&client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_any_phase_leads_to_the_next_endpoint() {
    let cases = Phase::ALL.into_iter().flat_map(|phase| [(phase, false), (phase, true)]);
    let all = cases.map(|(phase, connected)| tokio::spawn(leads_to_the_next_endpoint(phase, connected)));
    for case in all.collect::<Vec<_>>() {
        case.await.unwrap();
    }
}

/// Returns after the client has given up.
async fn gives_up(phase: Phase) {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let options = impatient(vec![proxy.url()]);
    let client = Client::connect(options.clone()).await.unwrap();
    let mut blocks = client.blocks().await.unwrap();
    blocks.next().await.unwrap();
    proxy.set(phase.fault());
    if phase.is_of_connecting() || phase == Phase::Subscribe {
        proxy.cut();
    }
    if phase.is_of_connecting() {
        let error = Client::connect(options).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Unreachable(_) | ConnectError::Runtime(_)),
            "{phase:?}: {error}"
        );
        assert!(error.is_retryable() && !error.is_busy(), "{phase:?}: {error}");
    }
    match phase {
        // A session that is open already does not ask for the metadata again.
        Phase::Metadata => {}
        Phase::Submit => {
            let error = client.submit(&commit(1), &validator("Alice")).await.unwrap_err();
            let silent =
                matches!(&error, TransactionError::Expired { .. } | TransactionError::Unfollowed { .. });
            assert!(silent, "{error}");
        }
        _ => {
            let error = loop {
                match blocks.next().await {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, BlocksError::Silent { .. }), "{phase:?}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_of_the_only_endpoint_ends_with_an_error() {
    let all: Vec<_> = Phase::ALL.into_iter().map(|phase| tokio::spawn(in_time(gives_up(phase)))).collect();
    for case in all {
        case.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_stands_still_is_not_silent() {
    let chain = start_paced(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let options = Options { stall_blocks: 10, ..impatient(vec![proxy.url()]) };
    let client = Client::connect(options).await.unwrap();
    chain.handle().new_block(1).await.unwrap();
    let mut blocks = client.blocks().await.unwrap();
    let stands = async {
        // Each check asks for the best block, and each new session subscribes again.
        let mut checks = 0;
        while checks < 40 {
            checks += proxy.seen().iter().filter(|method| *method == "chain_getHeader").count();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        chain.handle().new_block(1).await.unwrap();
    };
    let (block, ()) = in_time(async { tokio::join!(blocks.next(), stands) }).await;
    assert_eq!(block.unwrap().height.0, 2);
}

/// Returns the answers of nodes that limit requests, while a client is connected and afterwards.
fn limits() -> Vec<ProxyFault> {
    let refused = |code: i32, message: &str| ProxyFault::RefuseMethod {
        method: String::new(),
        code,
        message: message.into(),
    };
    vec![
        ProxyFault::HandshakeStatus(429),
        ProxyFault::HandshakeStatus(503),
        refused(-32029, "Too many requests"),
        refused(-32005, "limit exceeded"),
        refused(429, "slow down"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_requests_never_ends_a_stream() {
    for fault in limits() {
        let chain = start(Genesis::default()).await;
        let proxy = proxied(&chain).await;
        let options = Options { stall_blocks: 10, ..impatient(vec![proxy.url()]) };
        let silence = options.silence();
        let client = Client::connect(options.clone()).await.unwrap();
        let mut blocks = client.blocks().await.unwrap();
        proxy.set(fault.clone());
        proxy.cut();
        // The limit lasts longer than any silence may last.
        tokio::time::sleep(silence * 2).await;
        let busy = client.metrics().busy.get();
        assert!(busy > 0, "{fault:?}");
        let error = Client::connect(options).await.unwrap_err();
        assert!(error.is_busy() && error.is_retryable(), "{fault:?}: {error}");
        proxy.set(ProxyFault::None);
        for _ in 0..3 {
            let block = in_time(blocks.next()).await;
            block.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        }
    }
}

/// Checks that with one endpoint, a refused request costs no new connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_limited_read_waits_on_the_same_connection() {
    let chain = start(Genesis::default()).await;
    let proxy = proxied(&chain).await;
    let client = Client::connect(impatient(vec![proxy.url()])).await.unwrap();
    let method = "chain_getFinalizedHead";
    let refused = ProxyFault::RefuseMethod { method: method.into(), code: -32029, message: "limit".into() };
    proxy.set(refused);
    let reading = tokio::spawn({
        let client = client.clone();
        async move { client.finalized_hash().await }
    });
    let mut asked = 0;
    in_time(async {
        while asked < 4 {
            asked += proxy.seen().iter().filter(|seen| *seen == method).count();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    proxy.set(ProxyFault::None);
    in_time(reading).await.unwrap().unwrap();
    assert_eq!(client.metrics().connects.total(), 1);
}
