//! Small disks: a server's folder as a filesystem of its own, which can be filled to the last byte
//! and emptied again without hurting anybody else.
//!
//! A disk is a sparse image next to the folder. The image decides: whoever starts the server mounts
//! it, `stack down` unmounts it, and a folder without an image is an ordinary one. Mounting needs
//! root. What fills a disk is one file, the ballast.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::layout::{Layout, MARIADB_SERVERS, Server};
use crate::programs::am_root;
use crate::progress::Progress;

/// MiB of a MariaDB server's disk: 8 times what an empty one needs.
const MARIADB_MIB: u64 = 1024;
/// MiB of Pulsar's disk: twice what the retention keeps.
const PULSAR_MIB: u64 = 4096;

/// The name of the file that fills a disk.
const BALLAST: &str = "ballast";

/// MiB that must be free for the servers' data: what Pulsar keeps, and as much for the others.
const ROOM_MIB: u64 = 4096;

/// How often a disk that is still in use is tried again, every 100 ms.
const UNMOUNT_TRIES: u32 = 50;

fn servers() -> impl Iterator<Item = Server> {
    (1..=MARIADB_SERVERS).map(Server::Mariadb).chain([Server::Pulsar])
}

fn image(layout: &Layout, server: Server) -> PathBuf {
    layout.folder().join(format!("{server}.img"))
}

/// An error when there is too little room for the servers' data: they would start all the same, and
/// then answer nothing.
pub(super) fn ensure_room(layout: &Layout) -> Result<()> {
    let folder = layout.folder();
    let (free, place) = (free_bytes(&folder)? >> 20, folder.display());
    ensure!(free >= ROOM_MIB, "{place}: {free} MiB are free, the servers need {ROOM_MIB}");
    Ok(())
}

/// Gives every server that can have one a small disk; fine when they have them already.
pub(super) fn make(layout: &Layout, progress: &Progress) -> Result<()> {
    ensure!(am_root(), "small disks are mounted, which needs root");
    fs::create_dir_all(layout.folder()).context("cannot create the stack's folder")?;
    for server in servers() {
        let image = image(layout, server);
        if image.exists() {
            continue;
        }
        ensure!(
            !layout.home(server).exists(),
            "{server} has its data on this machine's disk: `stack up --small-disks --fresh` begins \
             anew"
        );
        let mib = if server == Server::Pulsar { PULSAR_MIB } else { MARIADB_MIB };
        // Under its name only when it is complete.
        let partial = image.with_extension("partial");
        File::create(&partial)?.set_len(mib << 20).context("cannot make a disk's image")?;
        // No blocks that only root may use: the servers run as root here.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &partial.display().to_string()])?;
        fs::rename(&partial, &image).context("cannot put a disk's image in its place")?;
        progress.say(&server.to_string(), &format!("has a disk of {mib} MiB"));
    }
    Ok(())
}

/// Mounts the server's disk if it has one and it is not mounted, and takes the ballast off it.
pub(super) fn mount(layout: &Layout, server: Server) -> Result<()> {
    let (image, home) = (image(layout, server), layout.home(server));
    if !image.exists() {
        return Ok(());
    }
    if !is_mounted(&home)? {
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let (from, to) = (image.display().to_string(), home.display().to_string());
        run("mount", &["-o", "loop,nodev,nosuid", &from, &to])?;
    }
    empty(layout, server)
}

/// Unmounts all disks; nothing may use them any more.
pub(super) fn unmount(layout: &Layout) -> Result<()> {
    for server in servers() {
        let home = layout.home(server);
        let place = home.display().to_string();
        for attempt in 1.. {
            if !is_mounted(&home)? {
                break;
            }
            match run("umount", &[&place]) {
                Err(e) if attempt >= UNMOUNT_TRIES => return Err(e),
                // The threads of a killed process hold its files for a moment.
                Err(_) => sleep(Duration::from_millis(100)),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

/// Fills the server's disk to the last byte.
pub(super) fn fill(layout: &Layout, server: Server) -> Result<()> {
    let home = layout.home(server);
    if !image(layout, server).exists() || !is_mounted(&home)? {
        bail!("{server} has no disk of its own: `stack up --small-disks --fresh` gives it one");
    }
    let path = home.join(BALLAST);
    // Most of it is set aside without being written, so that it happens at once.
    let free = free_bytes(&home)?.saturating_sub(4 << 20).to_string();
    File::create(&path).context("cannot create the ballast")?;
    run("fallocate", &["-l", &free, &path.display().to_string()])?;
    let mut ballast = File::options().append(true).open(&path)?;
    for piece in [&[0_u8; 65_536][..], &[0; 4096], &[0; 1]] {
        loop {
            match ballast.write_all(piece) {
                Err(e) if e.kind() == ErrorKind::StorageFull => break,
                other => other.context("the ballast")?,
            }
        }
    }
    Ok(())
}

/// Takes the ballast away; fine when there is none.
pub(super) fn empty(layout: &Layout, server: Server) -> Result<()> {
    match fs::remove_file(layout.home(server).join(BALLAST)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).context("the ballast stays"),
        _ => Ok(()),
    }
}

fn free_bytes(place: &Path) -> Result<u64> {
    let out = Command::new("df").args(["-B1", "--output=avail"]).arg(place).output();
    let out = out.context("cannot run df")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().last().and_then(|l| l.trim().parse().ok()).with_context(|| format!("df: {text}"))
}

fn is_mounted(place: &Path) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    Ok(lists(&mounts, place))
}

/// Whether a table of mounts has this place; the table writes a space as `\040`.
fn lists(mounts: &str, place: &Path) -> bool {
    let place = place.display().to_string().replace(' ', "\\040");
    mounts.lines().any(|l| l.split(' ').nth(1) == Some(&place))
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(program).args(args).output();
    let out = out.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{program} {}: {}", args.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_whole_path() {
        let table = "/dev/loop0 /w/a\\040b/mariadb-1 ext4 rw 0 0\nproc /proc proc rw 0 0\n";
        assert!(lists(table, Path::new("/w/a b/mariadb-1")));
        assert!(!lists(table, Path::new("/w/a b")) && !lists(table, Path::new("/dev/loop0")));
    }
}
