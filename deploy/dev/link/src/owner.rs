//! Finds the process at the other end of a connection on this machine.
//!
//! The kernel lists all TCP sockets with their inodes, and each process lists its open sockets by inode.
//! A process may read both lists of its own children.

use std::{
    fs, io,
    net::{SocketAddr, SocketAddrV4},
};

/// The list of all TCP sockets over IPv4, as `proc_pid_net(5)` describes it.
const SOCKETS: &str = "/proc/net/tcp";
/// The column with the inode.
const INODE: usize = 9;

/// Returns the one of these processes that has opened the connection from `peer` to `own`. Returns `None`
/// if another one has, or if the connection is gone.
pub(crate) fn owner(
    peer: SocketAddr,
    own: SocketAddr,
    pids: impl IntoIterator<Item = u32>,
) -> io::Result<Option<u32>> {
    let (SocketAddr::V4(peer), SocketAddr::V4(own)) = (peer, own) else { return Ok(None) };
    let Some(inode) = inode(&fs::read_to_string(SOCKETS)?, peer, own) else { return Ok(None) };
    Ok(pids.into_iter().find(|pid| holds(*pid, inode)))
}

/// Returns the inode of the socket with these local and remote addresses.
fn inode(sockets: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    let (local, remote) = (listed(local), listed(remote));
    let is_it = |line: &&str| line.split_whitespace().skip(1).take(2).eq([&local, &remote]);
    let line = sockets.lines().find(is_it)?;
    // A socket that no process holds any more has the inode 0.
    line.split_whitespace().nth(INODE)?.parse().ok().filter(|inode| *inode != 0)
}

/// Returns an address as the kernel lists it: the four bytes as a number of this machine, and the port.
fn listed(address: SocketAddrV4) -> String {
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}

/// Checks whether a process has opened a socket.
fn holds(pid: u32, inode: u64) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let name = format!("socket:[{inode}]");
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == &*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_own_process_is_found_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let own = std::process::id();
        assert_eq!(owner(peer, address, [1, own]).unwrap(), Some(own));
        assert_eq!(owner(peer, address, [1]).unwrap(), None);
        drop((client, server));
        let elsewhere = "127.0.0.1:1".parse().unwrap();
        assert_eq!(owner(peer, elsewhere, [own]).unwrap(), None, "there is no such connection");
    }
}
