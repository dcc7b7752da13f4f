//! A TCP proxy whose network can be made bad: cut, slow, or open and silent.
//!
//! It copies bytes in both directions and looks at its mode before each piece, so that a change
//! counts for the connections that are open too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It works.
    Good,
    /// Open connections are cut and new ones refused.
    Cut,
    /// Each piece takes this much longer.
    Delay(Duration),
    /// Connections stay and are taken, nothing arrives.
    HalfOpen,
}

/// One listener that leads to one or several servers, in turn.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    /// In front of these addresses.
    pub async fn start(tasks: &Tasks, to: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let me = Self { address, mode: watch::Sender::new(Mode::Good), bytes: Arc::default() };
        let (proxy, tasks) = (me.clone(), tasks.clone());
        let turn = AtomicUsize::new(0);
        tasks.clone().spawn("proxy", async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                if *proxy.mode.borrow() == Mode::Cut {
                    continue;
                }
                let n = turn.fetch_add(1, Ordering::Relaxed);
                let (proxy, to) = (proxy.clone(), to.clone());
                tasks.spawn_replaceable(
                    "proxy",
                    async move { proxy.connection(client, &to, n).await },
                );
            }
        });
        Ok(me)
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Bytes that went through.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The server whose turn it is, or the next one that lets itself be connected.
    async fn connection(&self, client: TcpStream, to: &[SocketAddr], turn: usize) {
        for n in 0..to.len() {
            let Ok(server) = TcpStream::connect(to[(turn + n) % to.len()]).await else { continue };
            let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = self.copy(from_client, to_server) => {}
                () = self.copy(from_server, to_client) => {}
            }
            return;
        }
    }

    async fn copy(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut mode = self.mode.subscribe();
        let mut buffer = vec![0u8; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                _ = mode.wait_for(|m| *m == Mode::Cut) => return,
            };
            let Ok(n @ 1..) = read else { return };
            loop {
                let now = *mode.borrow_and_update();
                match now {
                    Mode::Good => break,
                    Mode::Cut => return,
                    Mode::Delay(by) => {
                        tokio::time::sleep(by).await;
                        break;
                    }
                    Mode::HalfOpen => {
                        if mode.changed().await.is_err() {
                            return;
                        }
                    }
                }
            }
            self.bytes.fetch_add(n as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Tasks::new().spawn("echo", async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                Tasks::new().spawn_replaceable("proxy", async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, within: u64) -> Option<u8> {
        stream.write_all(b"x").await.ok()?;
        let mut one = [0];
        let read = stream.read_exact(&mut one);
        tokio::time::timeout(Duration::from_millis(within), read).await.ok()?.ok()?;
        Some(one[0])
    }

    #[tokio::test]
    async fn a_network_can_be_bad_and_good_again() {
        let tasks = Tasks::new();
        // The first server refuses: the second one is taken.
        let nobody = "127.0.0.1:1".parse().unwrap();
        let proxy = Proxy::start(&tasks, vec![nobody, echo().await]).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut stream, 2000).await, Some(b'x'));
        assert_eq!(proxy.bytes(), 2);
        proxy.set(Mode::HalfOpen);
        assert_eq!(says(&mut stream, 200).await, None);
        proxy.set(Mode::Good);
        let mut late = [0];
        stream.read_exact(&mut late).await.unwrap();
        proxy.set(Mode::Delay(Duration::from_millis(150)));
        assert_eq!(says(&mut stream, 200).await, None, "both ways are slow");
        stream.read_exact(&mut late).await.unwrap();
        proxy.set(Mode::Cut);
        assert_eq!(stream.read(&mut late).await.unwrap_or(0), 0);
        let mut fresh = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut fresh, 500).await, None);
        proxy.set(Mode::Good);
        let mut fresh = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(says(&mut fresh, 2000).await, Some(b'x'));
    }
}
