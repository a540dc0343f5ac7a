//! Uploads 1 GiB to the local server, downloads it, and prints the speed and this process's peak memory.
//!
//! The server runs in its own process (`cargo build -p bucket-server` first), so the figure is the
//! client's alone. The first argument is the path of the server program, or the URL of another S3
//! server on this machine. That server needs a bucket `bench` and the keys below. The second argument
//! is the size in MiB (default: 1024).
//!
//! ```text
//! cargo run -p storage --example gibibyte -- target/debug/bucket-server
//! cargo run -p storage --example gibibyte -- http://127.0.0.1:5000 100
//! ```

use base::Secret;
use protocol::announcement::{self, AddressPolicy, ReadCredentials};
use std::{
    error::Error,
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use storage::{Content, Floor, Limits, Put, Sink, Storage};

const BUCKETS: &str = r#"
[[bucket]]
name = "bench"
read = { id = "bench-reads", secret = "bench-reads-secret" }
write = { id = "bench-writes", secret = "bench-writes-secret" }
"#;

/// The maximum allowed peak memory, in MiB.
const MOST_MIB: u64 = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("missing argument: the path of the program bucket-server")?;
    let mib: u64 = arguments.next().map_or(Ok(1024), |size| size.parse())?;
    let folder = tempfile::tempdir()?;
    if program.starts_with("http://") {
        return bench(&program, folder.path(), mib).await;
    }
    let (mut server, endpoint) = serve(&program, folder.path())?;
    let done = bench(&endpoint, folder.path(), mib).await;
    server.kill()?;
    server.wait()?;
    done
}

async fn bench(endpoint: &str, folder: &Path, mib: u64) -> Result<(), Box<dyn Error>> {
    let key = |kind: &str| ReadCredentials {
        access_key: Secret::new(format!("bench-{kind}")),
        secret: Secret::new(format!("bench-{kind}-secret")),
    };
    let storage = Storage::new(AddressPolicy::PublicOrLoopback);
    let announced = announcement::Bucket::s3(endpoint, "us-east-1", "bench", Some(key("reads")))?;
    let (reader, owner) = (storage.bucket(&announced)?, storage.own_bucket(&announced, &key("writes"))?);
    let source = folder.join("source");
    let hash = write_noise(&source, mib)?;
    println!("before: {} MiB", peak_mib()?);

    let floor = Floor { bytes_per_second: 1 << 20, over: Duration::from_secs(30) };
    let time = Duration::from_secs(1200);
    let bytes = mib << 20;
    let started = Instant::now();
    owner.put("large", Content::File(&source), &Put { time, floor, only_if_absent: false }).await?;
    report("put", mib, started)?;
    let started = Instant::now();
    let mut found = Hashing(blake3::Hasher::new());
    reader.get_into("large", None, &Limits { bytes, time, floor }, &mut found).await?;
    assert_eq!(found.0.finalize(), hash);
    report("get", mib, started)?;
    let listed = reader.list("lar", None, 10, time).await?;
    assert!(listed.iter().any(|listed| listed.key == "large" && listed.bytes == bytes), "{listed:?}");
    owner.delete("large", time).await?;
    match peak_mib()? {
        peak if peak > MOST_MIB => Err(format!("peak memory of {peak} MiB exceeds {MOST_MIB} MiB").into()),
        _ => Ok(()),
    }
}

/// A sink that keeps no bytes, only their hash.
struct Hashing(blake3::Hasher);

impl Sink for Hashing {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.update(bytes);
        Ok(())
    }
}

fn report(what: &str, mib: u64, started: Instant) -> Result<(), Box<dyn Error>> {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {mib} MiB in {seconds:.2} s, {:.0} MiB/s, peak memory {} MiB",
        mib as f64 / seconds,
        peak_mib()?
    );
    Ok(())
}

fn serve(program: &str, folder: &Path) -> Result<(Child, String), Box<dyn Error>> {
    let buckets = folder.join("buckets.toml");
    std::fs::write(&buckets, BUCKETS)?;
    let mut command = Command::new(program);
    command
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .arg("--buckets")
        .arg(buckets);
    let mut server = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("the server has no stdout")?).read_line(&mut line)?;
    Ok((server, line.trim().to_owned()))
}

fn write_noise(path: &Path, mib: u64) -> Result<blake3::Hash, Box<dyn Error>> {
    let mut file = std::fs::File::create(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mib {
        noise.fill(&mut piece);
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    Ok(hasher.finalize())
}

/// Returns this process's peak resident memory so far in MiB, as Linux counts it.
fn peak_mib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("/proc/self/status has no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib >> 10)
}
