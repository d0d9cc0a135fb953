//! The ports that workers listen on by themselves: proc_pid_net(5), as far as the descriptors of their processes can be read.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use daemonic_core::sys::descendants::with_descendants;

/// State of a listening socket in /proc/PID/net/tcp: TCP_LISTEN.
const LISTENING: &str = "0A";

/// Gives the TCP ports that a worker, or a process that it has started, listens on. One that the kernel has chosen, for
/// port 0, is none that a successor could need: ports of the kernel's range are left out, though a program may also have
/// asked for one of these.
pub fn listened_on_by(worker: i32) -> Vec<u16> {
    let sockets: HashSet<String> = with_descendants(vec![worker]).flat_map(sockets_of).collect();
    let mut ports: Vec<u16> = ["tcp", "tcp6"].into_iter().flat_map(|table| ports_in(worker, table, &sockets)).collect();
    let chosen = ports_that_the_kernel_chooses();
    ports.retain(|port| !chosen.contains(port));
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The range from which the kernel takes ports: ip(7), ip_local_port_range.
fn ports_that_the_kernel_chooses() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
    numbers.next().unwrap_or(32_768)..=numbers.next().unwrap_or(60_999)
}

/// The inodes of a process's sockets; none where it is another user's, or has exited.
fn sockets_of(pid: i32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}

fn ports_in(pid: i32, table: &str, sockets: &HashSet<String>) -> Vec<u16> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_own = *fields.get(3)? == LISTENING && sockets.contains(*fields.get(9)?);
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok().filter(|_| is_own)
    };
    text.lines().skip(1).filter_map(port).collect()
}
