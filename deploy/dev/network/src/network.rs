//! Sets up a network: folder, keys, data, chain, buckets, run spec. No node runs in it yet.

use crate::{
    children::Program,
    config::{self, ChainAccess, Places},
    faults::{self, Fault},
    folder::{self, Folder, make},
    genesis::{self, genesis},
    launch,
    options::Up,
    roster::{Participant, Role, roster},
    view::Screen,
    wallets::{GeneratedSecret, Keys},
};
use anyhow::{Context, bail, ensure};
use base::{BlockHash, Height, Hotkey};
use bucket_server::{BucketConfig, Server};
use chain::{Client, Options};
use data::{Phase, Progress, Report, Warning, Watch, cached};
use devchain::{Clock, Devchain, Finality, Pace, Proxy, ProxyFault};
use exchange::ChainReader;
use link::Shaper;
use protocol::run_spec::RunSpec;
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

/// The block time that the chain clients expect. It is long because blocks are held for minutes.
const BLOCK_TIME: Duration = Duration::from_secs(60);

/// The block time that a node with an endpoint that can go silent expects. It is short, so that the node
/// notices within a hold that the endpoint is silent.
const SHORT_BLOCK_TIME: Duration = Duration::from_secs(3);

/// The maximum distance of the final from the best block after a run.
const MOST_BEHIND: u64 = 200;

/// The interval of polls.
const POLL: Duration = Duration::from_millis(5);

/// A participant with its keys and its bucket.
pub(crate) struct Member {
    pub(crate) participant: Participant,
    pub(crate) keys: Keys,
    pub(crate) bucket: BucketConfig,
}

/// Returns the participants of the network with this seed, with their keys and buckets, in the given order.
pub(crate) fn members(participants: Vec<Participant>, seed: u64) -> Vec<Member> {
    let member = |participant: Participant| Member {
        keys: Keys::new(seed, &participant.name),
        bucket: config::bucket(seed, &participant),
        participant,
    };
    participants.into_iter().map(member).collect()
}

/// Returns the hotkeys of the validators, which begin the run.
fn founders(members: &[Member]) -> Vec<Hotkey> {
    let validators = members.iter().filter(|member| member.participant.role == Role::Validator);
    validators.map(|member| member.keys.hotkey()).collect()
}

/// A network that is ready to run.
pub(crate) struct Network {
    pub(crate) folder: Folder,
    pub(crate) members: Vec<Member>,
    pub(crate) chain: Devchain,
    pub(crate) buckets: Server,
    pub(crate) spec: RunSpec,
    pub(crate) chain_reader: ChainReader,
    /// An endpoint that stands before the chain, for the last miner, and can go silent.
    pub(crate) proxy: Option<Proxy>,
    /// The endpoints that limit requests, by the node that uses it.
    pub(crate) limiters: BTreeMap<String, Proxy>,
    /// The proxy that puts each node behind its link, with `--link`.
    pub(crate) shaper: Option<Shaper>,
    /// The addresses that the nodes use.
    doors: Doors,
}

/// The addresses at which nodes find chain and buckets: those of the servers, or those of the proxy before
/// them.
#[derive(Clone, Debug)]
struct Doors {
    chain: SocketAddr,
    buckets: SocketAddr,
    /// The endpoint of the chain that can go silent.
    silent: Option<SocketAddr>,
    /// The endpoints of the chain that limit requests, by node.
    limited: BTreeMap<String, SocketAddr>,
}

impl Doors {
    /// Lets `shaper` listen before all servers, if there is one.
    async fn open(self, shaper: Option<&Shaper>) -> anyhow::Result<Self> {
        let Some(shaper) = shaper else { return Ok(self) };
        let before =
            async |server| shaper.listen_before(server).await.context("cannot start the shaping proxy");
        let silent = match self.silent {
            Some(silent) => Some(before(silent).await?),
            None => None,
        };
        let mut limited = BTreeMap::new();
        for (node, address) in self.limited {
            limited.insert(node, before(address).await?);
        }
        Ok(Self { chain: before(self.chain).await?, buckets: before(self.buckets).await?, silent, limited })
    }
}

impl Network {
    /// Sets up a network in a folder that is new or empty.
    pub(crate) async fn set_up(
        up: &Up,
        folder: Folder,
        screen: &mut Screen<std::io::Stdout>,
    ) -> anyhow::Result<Self> {
        let file = launch::template(up)?;
        let lag = file.window.finality_lag;
        ensure!(
            lag > 0 || !up.fault.contains(&Fault::LaggingFinality),
            "--fault lagging-finality needs a --finality-lag of at least 1: where each block is final at once, none is dropped"
        );
        new_folder(folder.path())?;
        let members = members(roster(up), up.seed);
        for Member { participant, keys, .. } in &members {
            keys.write(&folder.wallets(), participant)?;
        }
        let texts = fs::canonicalize(&up.data).with_context(|| format!("--data {}", up.data.display()))?;
        let options = cached::options(&texts, &folder::cache()?, &file, up.seed)?;
        let data = options.out.clone();
        screen.say(&format!("data: {}", texts.display()));
        let report = prepare(options, screen).await?;
        screen.say(&format!("data: {} tokens to train on, {} held out", report.training, report.held_out));

        let (participants, keys): (Vec<_>, Vec<_>) =
            members.iter().map(|m| (m.participant.clone(), &m.keys)).unzip();
        let tempo = genesis::tempo(file.window.blocks);
        let genesis = genesis(file.network.netuid.0, (tempo, up.weights), &participants, &keys)?;
        let chain = Devchain::start(devchain::Config {
            block_time_ms: up.block_time().as_millis() as u64,
            log: Some(folder.chain_log()),
            finality: Finality { lag, ..Finality::default() },
            genesis: Some(genesis),
            ..quiet_chain()
        });
        let chain = chain.await.context("cannot start the chain")?;
        let buckets = serve(&folder, &members, ([127, 0, 0, 1], 0).into()).await?;
        let start = launch::start(members.len(), lag);
        let genesis = BlockHash(chain.genesis().0);
        let founders = founders(&members);
        let spec = file.launch(genesis, start, report.tokenizer, report.dataset, &founders)?;
        let launched = protocol::run_spec::RunFile::from(&spec).to_toml()?;
        fs::write(folder.spec(), launched).context("cannot write the run spec")?;
        let chain_reader = chain_reader(&chain, &spec).await?;
        let proxy = if up.fault.contains(&Fault::SilentChain) {
            Some(Proxy::start(chain.address()).await.context("cannot start a proxy before the chain")?)
        } else {
            None
        };
        let limiters = limiters(up, &chain, &members).await?;
        let shaper = up.link.map(|link| Shaper::new(link, up.seed));
        let silent = proxy.as_ref().map(Proxy::address);
        let limited = limiters.iter().map(|(node, proxy)| (node.clone(), proxy.address())).collect();
        let doors = Doors { chain: chain.address(), buckets: buckets.address(), silent, limited };
        let doors = doors.open(shaper.as_ref()).await?;
        let network =
            Self { folder, members, chain, buckets, spec, chain_reader, proxy, limiters, shaper, doors };
        network.configure(&data, up.metrics)?;
        Ok(network)
    }

    /// Writes the children's configurations.
    fn configure(&self, data: &Path, metrics: Option<u16>) -> anyhow::Result<()> {
        let places = Places {
            genesis: self.spec.network.genesis.to_string(),
            netuid: self.spec.network.netuid.0,
            buckets: format!("http://{}", self.doors.buckets),
            data,
            metrics,
        };
        let behind = faults::last(Role::Miner, self.members.iter().map(|member| &member.participant));
        for Member { participant, bucket, .. } in &self.members {
            let path = self.folder.config(&participant.name);
            path.parent().map_or(Ok(()), make)?;
            let silent = self.doors.silent.filter(|_| participant.name == behind);
            let block_time = if silent.is_some() { SHORT_BLOCK_TIME } else { BLOCK_TIME };
            let main = self.doors.limited.get(&participant.name).unwrap_or(&self.doors.chain);
            let endpoints = silent.iter().chain([main]).map(|address| format!("ws://{address}")).collect();
            let chain = ChainAccess { endpoints, block_time };
            let text = config::config(&self.folder, &places, chain, participant, bucket).to_string();
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Returns the program of a participant. `None` for the owner, which runs no process.
    pub(crate) fn program(&self, participant: &Participant) -> anyhow::Result<Option<Program>> {
        let config = self.folder.config(&participant.name).into_os_string();
        let (binary, before): (_, Vec<&str>) = match participant.role {
            Role::Owner => return Ok(None),
            Role::Validator => ("validator", vec!["run"]),
            Role::Miner | Role::Joiner => ("miner", vec!["run"]),
            Role::Adversary(kind) => ("adversary", vec![kind.name()]),
        };
        let mut arguments: Vec<_> = before.into_iter().map(Into::into).collect();
        arguments.extend(["--config".into(), config]);
        let log = self.folder.log(&participant.name);
        let shaper = self.shaper.clone();
        Ok(Some(Program { path: self::binary(binary)?, arguments, log, answer: None, shaper }))
    }

    /// Returns the address of the buckets, as the nodes announce it.
    pub(crate) fn announced_buckets(&self) -> SocketAddr {
        self.doors.buckets
    }

    /// Returns the program of an auditor that recomputes all windows and writes its answer to a file.
    pub(crate) fn auditor(&self, answer: &Path) -> anyhow::Result<Program> {
        auditor(&self.folder, &self.chain, &self.spec, answer)
    }

    /// Seals blocks until the block at this height is final.
    ///
    /// # Errors
    /// Finality stands still, or the chain fails.
    pub(crate) async fn make_final(&self, height: Height) -> anyhow::Result<()> {
        let chain = self.chain.handle();
        let mut status = chain.status().await?.node;
        let last = height.0 + MOST_BEHIND;
        while u64::from(status.finalized) < height.0 {
            ensure!(
                u64::from(status.height) < last,
                "block {height} is not final, though {} is the best",
                status.height
            );
            status = chain.fast_forward(1).await?;
        }
        Ok(())
    }

    /// Seals blocks for the transactions in the pool until `is_done`, and those that make them final.
    pub(crate) async fn seal_until(&self, is_done: impl Fn() -> bool) -> anyhow::Result<()> {
        while !is_done() {
            if self.chain.handle().status().await?.node.ready > 0 {
                let sealed = self.chain.handle().fast_forward(1).await?;
                self.make_final(Height(sealed.height.into())).await?;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Returns all secrets of this network. None of them may appear in a log.
    pub(crate) fn secrets(&self) -> Vec<GeneratedSecret> {
        let of = |member: &Member| {
            member
                .keys
                .secrets(&member.participant.name)
                .chain(config::secrets(&member.bucket))
                .collect::<Vec<_>>()
        };
        self.members.iter().flat_map(of).collect()
    }
}

/// Returns the program of an auditor that recomputes all windows of a run.
pub(crate) fn auditor(
    folder: &Folder,
    chain: &Devchain,
    spec: &RunSpec,
    answer: &Path,
) -> anyhow::Result<Program> {
    let netuid = spec.network.netuid.to_string();
    let block_time = BLOCK_TIME.as_secs().to_string();
    let windows = format!("0..{}", spec.window.count);
    let words =
        ["windows", &windows, "--json", "--allow-loopback", "--netuid", &netuid, "--block-time", &block_time];
    let mut arguments: Vec<_> = words.into_iter().map(Into::into).collect();
    arguments.extend(["--chain".into(), chain.url().into(), "--run".into(), folder.spec().into_os_string()]);
    let log = folder.log("auditor");
    Ok(Program { path: binary("auditor")?, arguments, log, answer: Some(answer.to_owned()), shaper: None })
}

/// Starts a bucket server on the buckets of the run folder.
pub(crate) async fn serve(folder: &Folder, members: &[Member], listen: SocketAddr) -> anyhow::Result<Server> {
    let buckets = members.iter().map(|member| member.bucket.clone()).collect();
    let config = bucket_server::Config { listen, ..bucket_server::Config::local(&folder.buckets(), buckets) };
    Server::start(config).await.context("cannot start the bucket server")
}

/// Starts an endpoint that limits requests for each node that the fault of that name strikes.
async fn limiters(up: &Up, chain: &Devchain, members: &[Member]) -> anyhow::Result<BTreeMap<String, Proxy>> {
    let mut limiters = BTreeMap::new();
    if up.fault.contains(&Fault::RequestLimit) {
        for role in [Role::Miner, Role::Validator] {
            let proxy =
                Proxy::start(chain.address()).await.context("cannot start a proxy before the chain")?;
            proxy.set(ProxyFault::OneRequestIn(up.block_time() / faults::REQUESTS));
            let node = faults::last(role, members.iter().map(|member| &member.participant));
            limiters.insert(node, proxy);
        }
    }
    Ok(limiters)
}

/// Connects a chain reader to the development chain.
pub(crate) async fn chain_reader(chain: &Devchain, spec: &RunSpec) -> anyhow::Result<ChainReader> {
    let options = Options {
        genesis: Some(spec.network.genesis),
        block_time: BLOCK_TIME,
        ..Options::new([chain.url()])
    };
    Ok(ChainReader::new(Client::connect(options).await?, spec.network.netuid, spec.network.mechanism))
}

/// Returns the configuration of a chain on a free port that seals a block only on request.
pub(crate) fn quiet_chain() -> devchain::Config {
    devchain::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pace: Pace::Outside,
        clock: Clock::Wall,
        ..devchain::Config::default()
    }
}

/// Returns the path of another program of this workspace. It must be in the folder of this program.
///
/// # Errors
/// The program is not there.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let path = own.with_file_name(name);
    ensure!(
        path.is_file(),
        "cannot find the program `{name}` beside {}: build it with `cargo build -p miner -p validator -p auditor -p devnet`, \
         or start with deploy/up",
        own.display()
    );
    Ok(path)
}

fn new_folder(path: &Path) -> anyhow::Result<()> {
    make(path).with_context(|| format!("cannot create {}", path.display()))?;
    if fs::read_dir(path)?.next().is_some() {
        bail!("{} is not empty: name a new folder with --dir, or remove it", path.display());
    }
    Ok(())
}

/// Prepares the data on a separate thread, and shows the progress meanwhile.
async fn prepare(options: data::Options, screen: &mut Screen<std::io::Stdout>) -> anyhow::Result<Report> {
    let (sender, receiver) = mpsc::channel();
    let work = tokio::task::spawn_blocking(move || {
        cached::prepare(&options, &mut ProgressSender { sender, phase: None })
    });
    while !work.is_finished() {
        receiver.try_iter().for_each(|line| screen.say(&line));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    receiver.try_iter().for_each(|line| screen.say(&line));
    Ok(work.await.context("cannot finish the preparation of the data")??)
}

/// A watcher of the preparation that sends a line for each new phase and each warning.
struct ProgressSender {
    sender: mpsc::Sender<String>,
    phase: Option<Phase>,
}

impl ProgressSender {
    /// Sends a line. If the receiver is gone, the line is dropped.
    fn send(&self, line: String) {
        let _ = self.sender.send(line);
    }
}

impl Watch for ProgressSender {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.phase.replace(progress.phase) != Some(progress.phase) {
            self.send(format!("data: {}", progress.phase));
        }
        ControlFlow::Continue(())
    }

    fn warning(&mut self, warning: &Warning) {
        self.send(format!("data: {warning}"));
    }
}
