//! The checks before a node begins: exit code and message of each.

use crate::network::*;
use base::{
    Exit, Height, Window,
    digest::{DatasetHash, RunId, ScoreLogHead, State, TokenizerHash},
};
use bucket_server::{Fault, Rule};
use node::NodeRole;
use protocol::{
    announcement::{Bits, Possession, Record, Vote},
    run_spec::{RunFile, RunSpec},
};
use std::fs;

/// Returns the exit code and the message of a node with these changes.
async fn refused(network: &Network, name: &str, changes: &[(&str, &str)]) -> (Exit, String) {
    let config = network.config(name, NodeRole::Miner, changes);
    let error = network.open(config).await.expect_err("the node is refused");
    (error.exit(), base::ErrorChain(&error).to_string())
}

fn write(network: &Network, file: &str, change: impl FnOnce(&mut RunSpec)) -> String {
    let mut spec = network.spec.clone();
    change(&mut spec);
    let path = network.path(file);
    fs::write(&path, RunFile::from(&spec).to_toml().unwrap()).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_names_must_be_what_the_run_says() {
    let network = Network::start().await;
    let (exit, said) = refused(&network, STRANGER, &[]).await;
    let hotkey = network.hotkey(STRANGER).hotkey();
    assert_eq!(exit, Exit::NotPermitted);
    assert_eq!(
        said,
        format!(
            "hotkey {hotkey} is not registered on subnet 3: register it with `miner register --hotkey hot --max-price TAO`"
        )
    );

    let genesis = network.spec.network.genesis;
    let other = format!("0x{}", "ab".repeat(32));
    let (exit, said) = refused(&network, MINER, &[("MUSTER_GENESIS", &other)]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.contains(&genesis.to_string()) && said.contains(&"ab".repeat(32)), "{said}");
    let (exit, said) = refused(&network, MINER, &[("MUSTER_NETUID", "4")]).await;
    assert_eq!(exit, Exit::Usage);
    assert_eq!(said, "the run is on subnet 3, not 4: set the netuid of the run");

    let run = write(&network, "chain.toml", |spec| spec.network.genesis.0 = [0xab; 32]);
    let (exit, said) = refused(&network, MINER, &[("MUSTER_RUN", &run)]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.contains("is a node of another chain") && said.contains(&genesis.to_string()), "{said}");

    let nowhere = [("MUSTER_CHAIN", "ws://127.0.0.1:1")];
    let (exit, said) = refused(&network, MINER, &nowhere).await;
    assert_eq!(exit, Exit::Unreachable);
    assert!(said.starts_with("no endpoint of the chain can be reached: ws://127.0.0.1:1: "), "{said}");

    let (exit, said) = refused(&network, MINER, &[("MUSTER_HOTKEY", "cold")]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.starts_with("there is no hotkey at "), "{said}");
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_must_be_the_runs() {
    let network = Network::start().await;
    let found = network.spec.data;
    let run = write(&network, "data.toml", |spec| spec.data.dataset = DatasetHash([7; 32]));
    let (exit, said) = refused(&network, MINER, &[("MUSTER_RUN", &run)]).await;
    assert_eq!(exit, Exit::Usage);
    let expected = "07".repeat(32);
    assert!(
        said.contains(&format!("this is dataset {}, the run is trained on {expected}", found.dataset)),
        "{said}"
    );

    let run = write(&network, "tokenizer.toml", |spec| spec.data.tokenizer = TokenizerHash([7; 32]));
    let (exit, said) = refused(&network, MINER, &[("MUSTER_RUN", &run)]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(
        said.contains(&format!("this is tokenizer {}, the run's is {expected}", found.tokenizer)),
        "{said}"
    );

    let (exit, said) = refused(&network, MINER, &[("MUSTER_DATA", "/nowhere")]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.starts_with("cannot read /nowhere/manifest: No such file"), "{said}");

    let run = write(&network, "root.toml", |spec| spec.initial.root.0[0] ^= 1);
    let mut node =
        network.open(network.config(MINER, NodeRole::Miner, &[("MUSTER_RUN", &run)])).await.unwrap();
    let error = node.start().await.unwrap_err();
    assert_eq!(error.exit(), Exit::Disagreement);
    let root = network.spec.initial.root;
    assert!(
        error.to_string().starts_with(&format!("the initial parameters have the state root {root}")),
        "{error}"
    );
    drop(node);

    let text = fs::read_to_string(network.path("run.toml")).unwrap();
    let path = network.path("unknown.toml");
    fs::write(&path, text.replace("[train]", "[train]\nsteps = 3")).unwrap();
    let (exit, said) = refused(&network, MINER, &[("MUSTER_RUN", &path.display().to_string())]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.contains("unknown.toml: ") && said.contains("steps"), "{said}");

    // A token that is not the dataset's, of a file that was verified before.
    network.miner(MINER).await;
    let shard = network.path("data").join(data::shard_name(protocol::dataset::ShardRole::Training, 0));
    let mut bytes = fs::read(&shard).unwrap();
    bytes[100] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let (exit, said) = refused(&network, MINER, &[]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.starts_with("block 0 of ") && said.contains("differs from the dataset's"), "{said}");
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_majority_does_not_train_is_refused() {
    let network = Network::start().await;
    let theirs = RunId([5; 8]);
    let vote = Record::Vote(Vote {
        run: theirs,
        window: Window(3),
        good: Bits::default(),
        state: State([1; 32]),
        score_log: ScoreLogHead::default(),
        possession: Possession::default(),
    });
    // Votes of before this run began say nothing against it.
    network.announce(&VALIDATORS.map(|name| (name, vote))).await;
    network.miner(MINER).await;
    network.advance_final(Height(network.spec.network.start_block.0 + 1)).await;
    network.miner(MINER).await;
    let later = Record::Vote(match vote {
        Record::Vote(vote) => Vote { window: Window(4), ..vote },
        Record::Claim(_) => panic!("it is a vote"),
    });
    network.announce(&VALIDATORS.map(|name| (name, later))).await;
    let (exit, said) = refused(&network, MINER, &[]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.starts_with(&format!("this is run {}, but ", network.spec.id())), "{said}");
    assert!(said.contains(&format!("in run {theirs}: use its run spec")), "{said}");
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_before_anything_depends_on_it() {
    let network = Network::start().await;
    let path = format!("/{MINER}/");
    let with = async |method: &str, fault: Fault| {
        network.inject(vec![Rule::always(method, &path, fault)]);
        refused(&network, MINER, &[]).await
    };
    for (method, whose) in [
        ("PUT", "cannot use [bucket] with the write key: "),
        ("GET", "cannot use [bucket] with the read key, which "),
    ] {
        for (code, exit) in [(403, Exit::NotPermitted), (404, Exit::Usage), (500, Exit::Unreachable)] {
            let (found, said) = with(method, Fault::Status { code }).await;
            assert_eq!(found, exit, "{method} {code}: {said}");
            assert!(said.starts_with(whose), "{said}");
        }
    }
    let (exit, said) = with("GET", Fault::Garbage).await;
    assert_ne!(exit, Exit::Good, "{said}");
    let (exit, said) = with("PUT", Fault::Redirect { to: "http://127.0.0.1:1/".into() }).await;
    assert_eq!(exit, Exit::Usage, "{said}");
    network.inject(vec![]);

    let wrong = [("MUSTER_BUCKET_WRITE_SECRET", "a-secret-that-is-wrong")];
    let (exit, said) = refused(&network, MINER, &wrong).await;
    assert_eq!(exit, Exit::NotPermitted);
    assert!(!said.contains("a-secret-that-is-wrong"), "{said}");
    let (exit, _) = refused(&network, MINER, &[("MUSTER_BUCKET_READ_SECRET", "another")]).await;
    assert_eq!(exit, Exit::NotPermitted);
    let (exit, said) = refused(&network, MINER, &[("MUSTER_BUCKET_ALLOW_LOOPBACK", "false")]).await;
    assert_eq!(exit, Exit::Usage, "{said}");
    network.miner(MINER).await;
    network.chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_belongs_to_one_node() {
    let network = Network::start().await;
    let node = network.miner(MINER).await;
    let (exit, said) = refused(&network, MINER, &[]).await;
    assert_eq!(exit, Exit::Failed);
    assert!(said.contains("another process uses this folder"), "{said}");
    drop(node);
    let (exit, said) = refused(&network, MINER, &[("MUSTER_FOLDER", "/proc/nowhere")]).await;
    assert_eq!(exit, Exit::Failed);
    assert!(said.starts_with("cannot read or write /proc/nowhere"), "{said}");
    network.chain.shutdown().await;
}
