//! A TCP proxy whose network can be made bad: cut, slow, or open and silent.
//!
//! It copies bytes in both directions and looks at its mode before each piece, so that a change
//! counts for the connections that are open too. A client can also vanish: the proxy keeps its
//! connections to the server and never says another word on them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// How often its clients vanished.
    gone: watch::Sender<u64>,
    bytes: Arc<AtomicU64>,
    /// Connections to the servers.
    servers: Arc<Mutex<Servers>>,
}

#[derive(Default)]
struct Servers {
    /// Where those begin that have a client.
    from: BTreeSet<SocketAddr>,
    /// Those whose client vanished.
    silent: Vec<(OwnedReadHalf, OwnedWriteHalf)>,
}

impl Proxy {
    /// In front of these addresses.
    pub(crate) async fn start(tasks: &Tasks, to: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let me = Self {
            address,
            mode: watch::Sender::new(Mode::Good),
            gone: watch::Sender::new(0),
            bytes: Arc::default(),
            servers: Arc::default(),
        };
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
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What the network does now.
    pub(crate) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// The clients of all open connections vanish without a word to the server: what it had not
    /// read yet is lost, and it keeps its side. They see the end of their connection.
    pub(crate) fn vanish(&self) {
        self.gone.send_modify(|n| *n += 1);
    }

    /// Closes what is left of the connections whose client vanished.
    pub(crate) fn bury(&self) {
        self.servers().silent.clear();
    }

    /// Where the open connections to the servers begin.
    pub(crate) fn places(&self) -> Vec<SocketAddr> {
        self.servers().from.iter().copied().collect()
    }

    fn servers(&self) -> std::sync::MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that went through.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The server whose turn it is, or the next one that lets itself be connected.
    async fn connection(&self, client: TcpStream, to: &[SocketAddr], turn: usize) {
        for n in 0..to.len() {
            let Ok(server) = TcpStream::connect(to[(turn + n) % to.len()]).await else { continue };
            let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
            self.both_ways(client, server).await;
            return;
        }
    }

    async fn both_ways(&self, client: TcpStream, server: TcpStream) {
        let mut gone = self.gone.subscribe();
        let Ok(place) = server.local_addr() else { return };
        self.servers().from.insert(place);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let vanished = tokio::select! {
            // First: once the network is good again, nothing more may get through.
            biased;
            _ = gone.changed() => true,
            () = self.copy(&mut from_client, &mut to_server) => false,
            () = self.copy(&mut from_server, &mut to_client) => false,
        };
        let mut servers = self.servers();
        servers.from.remove(&place);
        if vanished {
            servers.silent.push((from_server, to_server));
        }
    }

    async fn copy(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
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

    #[tokio::test]
    async fn a_server_does_not_learn_that_its_client_vanished() {
        let tasks = Tasks::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let proxy = Proxy::start(&tasks, vec![to]).await.unwrap();
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let (mut server, from) = listener.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut one = [0];
        server.read_exact(&mut one).await.unwrap();
        assert_eq!(proxy.places(), [from]);
        // What is on its way is lost, although the network is good at once.
        proxy.set(Mode::HalfOpen);
        client.write_all(b"y").await.unwrap();
        proxy.vanish();
        proxy.set(Mode::Good);
        assert_eq!(client.read(&mut one).await.unwrap_or(0), 0, "the client learns");
        let silence = Duration::from_millis(300);
        assert!(tokio::time::timeout(silence, server.read(&mut one)).await.is_err());
        assert!(proxy.places().is_empty());
        // The next one is not concerned.
        let mut fresh = TcpStream::connect(proxy.address).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        fresh.write_all(b"z").await.unwrap();
        other.read_exact(&mut one).await.unwrap();
        proxy.bury();
        assert_eq!(server.read(&mut one).await.unwrap_or(0), 0);
    }
}
