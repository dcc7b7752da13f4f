//! Packets of one process to one server that the system's packet filter does not let through.
//!
//! Redis and Pulsar name their own addresses to their clients, so no proxy can stand before them.
//! Each process runs under a group of its own, and a rule of nftables can tell its packets by that.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::stack;

use crate::deployment::{Deployment, PROCESSES};

/// Debian's package nftables.
const NFT: &str = "nft";
/// The group of the first process; the others follow it.
const FIRST_GROUP: u32 = 61_000;

/// True when packets can be filtered: as root, with nftables, on a kernel that has them.
pub(crate) fn can_filter() -> bool {
    let can = Command::new(NFT).args(["list", "tables"]).output();
    can.is_ok_and(|out| out.status.success())
}

/// The group of a process.
pub(crate) fn group(process: usize) -> u32 {
    FIRST_GROUP + process as u32
}

/// How packets are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Connections are reset and new ones refused.
    Reject,
    /// Nothing of what the process sends arrives; what it is sent does.
    Drop,
}

impl Deployment {
    /// Keeps one process from these ports of one server.
    pub(crate) fn keep_away(&self, pick: usize, ports: &[u16]) -> Result<()> {
        let filter = self.filter.as_ref().context("no packet filter")?;
        let process = pick % PROCESSES;
        let by_turns = (pick / PROCESSES).is_multiple_of(2);
        let how = if by_turns { Stop::Reject } else { Stop::Drop };
        eprintln!("  process {} does not reach {ports:?} ({how:?})", process + 1);
        filter.cut(process, ports, how)
    }

    /// Everybody reaches everything.
    pub(crate) fn reach_all(&self) -> Result<()> {
        let filter = self.filter.as_ref().context("no packet filter")?;
        // Another such fault may have ended them all.
        match filter.mend() {
            Ok(packets) => eprintln!("  {packets} packets were stopped"),
            Err(e) => eprintln!("  {e:#}"),
        }
        Ok(())
    }
}

/// The rules of one run, in a table of their own.
pub(crate) struct Filter {
    table: String,
}

impl Filter {
    /// Without a rule. A stack has one run at a time, so what a run that was killed has left goes.
    pub(crate) fn of_stack() -> Self {
        let base = stack::port_base().map_or_else(|| "default".to_owned(), |[_, base]| base);
        let me = Self { table: format!("sluicegate_chaos_{base}") };
        let _ = me.mend();
        me
    }

    /// Stops what a process sends to these ports.
    pub(crate) fn cut(&self, process: usize, ports: &[u16], how: Stop) -> Result<()> {
        nft(&rules(&self.table, group(process), ports, how)).map(|_| ())
    }

    /// Lets everything through again: how many packets were stopped.
    pub(crate) fn mend(&self) -> Result<u64> {
        let said = nft(&format!("list table inet {}", self.table))?;
        nft(&format!("delete table inet {}", self.table))?;
        Ok(packets(&said))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = self.mend();
    }
}

fn rules(table: &str, group: u32, ports: &[u16], how: Stop) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let stop = match how {
        Stop::Reject => "reject with tcp reset",
        Stop::Drop => "drop",
    };
    format!(
        "table inet {table} {{\n chain out {{\n  type filter hook output priority 0;\n  \
         meta skgid {group} tcp dport {{ {} }} counter {stop}\n }}\n}}\n",
        ports.join(", ")
    )
}

/// Of all counters.
fn packets(said: &str) -> u64 {
    let mut words = said.split_whitespace();
    let mut sum = 0;
    while let Some(word) = words.next() {
        if word == "packets" {
            sum += words.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

fn nft(commands: &str) -> Result<String> {
    let out = Command::new(NFT).arg(commands).output().context(NFT)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{NFT} {commands}: {said}");
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_one_process_and_one_server() {
        let reject = rules("t", 61_003, &[23_001], Stop::Reject);
        assert!(reject.contains("meta skgid 61003 tcp dport { 23001 } counter reject"), "{reject}");
        let silent = rules("t", 61_000, &[1, 2], Stop::Drop);
        assert!(silent.contains("meta skgid 61000 tcp dport { 1, 2 } counter drop"), "{silent}");
        assert_eq!(reject.matches('{').count(), reject.matches('}').count());
    }

    #[test]
    fn stopped_packets_are_counted() {
        let said = "tcp dport 1 counter packets 12 bytes 60 drop\n counter packets 3 bytes 9 drop";
        assert_eq!((packets(said), packets("table inet t { }")), (15, 0));
    }
}
