//! Tests of collective operations between real processes: each rank is a child of the test.
#![allow(clippy::unwrap_used)] // A test that cannot continue stops here.

use engine::collectives::{CollectiveError, Group, Meeting, Member};
use std::{
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tch::{Device, Kind, Tensor};

const HOST: &str = "127.0.0.1";
/// The time after which a rank that does not answer is given up. The tests of healthy ranks never wait as
/// long.
const PATIENT: Duration = Duration::from_secs(60);
/// The same, for the tests of ranks that do not answer.
const IMPATIENT: Duration = Duration::from_secs(2);
/// Marks a process as a rank: task, rank, size and port.
const RANK: &str = "MUSTER_TEST_RANK";

/// Starts a task of this file on each rank.
fn start(task: &str, size: u16, port: u16) -> Vec<Child> {
    let child = |rank: u16| {
        Command::new(env::current_exe().unwrap())
            .args(["one_rank", "--exact", "--nocapture"])
            .env(RANK, format!("{task} {rank} {size} {port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null()) // Its summary is not that of the tests.
            .spawn()
            .unwrap()
    };
    (0..size).map(child).collect()
}

/// Runs a task on each rank, and checks that all succeed.
fn run(task: &str, size: u16) {
    let meeting = Meeting::open(HOST, PATIENT).unwrap();
    for (rank, mut child) in start(task, size, meeting.port()).into_iter().enumerate() {
        assert!(child.wait().unwrap().success(), "{task}: rank {rank} of {size} failed");
    }
}

/// Runs the task of a rank. Without the variable it is a test without work.
#[test]
fn one_rank() {
    let Ok(text) = env::var(RANK) else { return };
    let words: Vec<&str> = text.split(' ').collect();
    let number = |word: usize| words[word].parse::<u16>().unwrap();
    let (member, port) = (Member { rank: number(1), size: number(2) }, number(3));
    tch::set_num_threads(1);
    match words[0] {
        "exchange" => exchange(&group(member, port, PATIENT)),
        "refuse" => refuse(&group(member, port, PATIENT)),
        "end" => end(&group(member, port, PATIENT)),
        "hang" => hang(&group(member, port, IMPATIENT)),
        "absent" => absent(member, port),
        task => panic!("{task}"),
    }
}

fn group(member: Member, port: u16, timeout: Duration) -> Group {
    let meeting = Meeting::join(HOST, port, timeout).unwrap();
    Group::gloo(&meeting, "test", HOST, member, timeout).unwrap()
}

/// Returns four values that depend on the rank, in different kinds of numbers.
fn values(rank: u16, kind: Kind) -> Tensor {
    (Tensor::arange(4, (Kind::Float, Device::Cpu)) + f64::from(rank) * 10.0).to_kind(kind)
}

/// Checks the values that each operation brings.
fn exchange(group: &Group) {
    let Member { rank, size } = group.member();
    for kind in [Kind::Float, Kind::BFloat16, Kind::Int64, Kind::Double] {
        let shared = values(rank, kind);
        group.broadcast(&shared, size - 1).unwrap().wait().unwrap();
        assert_eq!(shared, values(size - 1, kind));

        let parts: Vec<_> = (0..size).map(|rank| values(rank, kind)).collect();
        let all = Tensor::zeros([4 * i64::from(size)], (kind, Device::Cpu));
        group.all_gather(&all, &parts[usize::from(rank)]).unwrap().wait().unwrap();
        assert_eq!(all, Tensor::cat(&parts, 0));

        // Rank r sends 100 r + s to rank s.
        let numbers = |from: u16, to: u16| Tensor::from(i64::from(100 * from + to)).to_kind(kind).view([1]);
        let sent: Vec<_> = (0..size).map(|to| numbers(rank, to)).collect();
        let expected: Vec<_> = (0..size).map(|from| numbers(from, rank)).collect();
        let received = Tensor::zeros([i64::from(size)], (kind, Device::Cpu));
        group.all_to_all(&received, &Tensor::cat(&sent, 0)).unwrap().wait().unwrap();
        assert_eq!(received, Tensor::cat(&expected, 0));
    }
    group.barrier().unwrap();
}

/// Checks that tensors of wrong sizes are refused, and that the group still works.
fn refuse(group: &Group) {
    let floats = |len: i64| Tensor::zeros([len], (Kind::Float, Device::Cpu));
    let error = group.all_gather(&floats(3), &floats(2)).and_then(|pending| pending.wait()).unwrap_err();
    assert_eq!(error.operation, "gathering from ranks");
    assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
    group.all_to_all(&floats(3), &floats(2)).and_then(|pending| pending.wait()).unwrap_err();
    exchange(group);
}

/// Lets the last rank end without a word. The others notice it.
fn end(group: &Group) {
    let Member { rank, size } = group.member();
    group.barrier().unwrap();
    if rank + 1 == size {
        std::process::exit(0);
    }
    let error = group.barrier().unwrap_err();
    assert_eq!(error.operation, "waiting for ranks");
}

/// Lets the last rank take no part. The others give up after the timeout.
fn hang(group: &Group) {
    let Member { rank, size } = group.member();
    group.barrier().unwrap();
    if rank + 1 == size {
        std::thread::sleep(IMPATIENT * 4);
        return;
    }
    let shared = values(0, Kind::Float);
    let result = group.broadcast(&shared, size - 1).and_then(|pending| pending.wait());
    assert_eq!(result.unwrap_err().operation, "broadcast between ranks");
}

/// Lets the last rank never come.
fn absent(member: Member, port: u16) {
    if member.rank + 1 == member.size {
        return;
    }
    let meeting = Meeting::join(HOST, port, IMPATIENT).unwrap();
    let error = Group::gloo(&meeting, "test", HOST, member, IMPATIENT).unwrap_err();
    assert_eq!(error.operation, "forming a group of ranks");
}

#[test]
fn values_arrive_in_the_order_of_the_ranks() {
    for size in [1, 2, 3, 5] {
        run("exchange", size);
    }
}

#[test]
fn tensors_of_wrong_sizes_are_refused() {
    run("refuse", 2);
}

#[test]
fn a_rank_that_ends_ends_the_operations_of_the_others() {
    run("end", 3);
}

#[test]
fn a_rank_that_hangs_ends_the_operations_of_the_others() {
    run("hang", 3);
}

#[test]
fn a_rank_that_never_comes_ends_the_meeting_of_the_others() {
    run("absent", 2);
}

#[test]
fn a_meeting_that_is_not_open_is_an_error() {
    let port = std::net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
    let error: CollectiveError = Meeting::join(HOST, port, Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.operation, "joining a meeting of ranks");
}
