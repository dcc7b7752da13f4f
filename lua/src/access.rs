//! How the cluster is reached: its nodes, who logs in, whom to trust. Both clients connect through
//! this, so that what one of them is let in with the other is too.
//!
//! The password is read at every connect, and redis-rs's certificates too; fred keeps the
//! certificates that were there at the start.

use std::sync::Arc;

use ::fred::error::{Error, ErrorKind};
use ::fred::prelude::{Config, ServerConfig};
use ::fred::types::config::{
    ClusterDiscoveryPolicy, CredentialProvider, Server, TlsConfig, TlsConnector,
};
use async_trait::async_trait;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ClientTlsConfig, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates, TlsMode,
};
use runtime::Secret;
use runtime::tls::{self, Files};

use crate::config::CellsConfig;
use crate::tuning::ConnectError;

/// See the module.
#[derive(Debug, Clone)]
pub struct Access {
    /// `host:port`, some of them suffice.
    pub(crate) nodes: Vec<String>,
    user: Option<String>,
    secret: Secret,
    files: Option<Files>,
}

impl Access {
    /// From the configuration. Whatever is wrong with its files is told now.
    pub fn of(cfg: &CellsConfig) -> Result<Self, ConnectError> {
        let user = (!cfg.user.is_empty()).then(|| cfg.user.clone());
        let (secret, files) = (cfg.secret(), cfg.files());
        let me = Self { nodes: cfg.nodes.clone(), user, secret, files };
        tls::provide();
        me.login().and_then(|_| me.certificates()).map_err(ConnectError)?;
        Ok(me)
    }

    /// For fred. Clients made of it log in with what the password's file says by then.
    pub(crate) fn fred(&self) -> Result<Config, ConnectError> {
        let hosts = self.nodes.iter().map(|n| server(n)).collect::<Result<Vec<_>, _>>()?;
        let server = ServerConfig::Clustered { hosts, policy: ClusterDiscoveryPolicy::UseCache };
        let tls = match &self.files {
            Some(files) => {
                let config = files.client().map_err(|e| ConnectError(format!("cells.tls: {e}")))?;
                Some(TlsConfig::from(TlsConnector::from(config)))
            }
            None => None,
        };
        let known = self.secret != Secret::None;
        let provider: Arc<dyn CredentialProvider> = Arc::new(self.clone());
        let credential_provider = known.then_some(provider);
        Ok(Config { server, tls, credential_provider, ..Config::default() })
    }

    /// A builder for redis-rs.
    pub(crate) fn cluster(&self) -> Result<ClusterClientBuilder, String> {
        let urls = self.nodes.iter().map(|n| self.url(n));
        let mut builder = ClusterClient::builder(urls);
        // Over TLS a long command is several writes.
        builder = builder.tcp_settings(TcpSettings::default().set_nodelay(true));
        if let Some(certificates) = self.certificates()? {
            builder = builder.tls(TlsMode::Secure).certs(certificates);
        }
        if let Some(user) = &self.user {
            builder = builder.username(user);
        }
        if let Some(password) = self.login()? {
            builder = builder.password(password);
        }
        Ok(builder)
    }

    /// For redis-rs, a client of one node alone.
    pub fn node(&self, addr: &str) -> Result<Client, String> {
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = self.login()? {
            login = login.set_password(password);
        }
        let info = self.url(addr).into_connection_info().map_err(|e| e.to_string())?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let info = info.set_redis_settings(login);
        let client = match self.certificates()? {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        client.map_err(|e| e.to_string())
    }

    fn url(&self, addr: &str) -> String {
        let scheme = if self.files.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{addr}/")
    }

    fn login(&self) -> Result<Option<String>, String> {
        self.secret.read().map_err(|e| format!("cells.password_file: {e}"))
    }

    /// `None` without TLS.
    fn certificates(&self) -> Result<Option<TlsCertificates>, String> {
        let Some(files) = &self.files else { return Ok(None) };
        let root_cert = files.trusted().map_err(|e| format!("cells.ca_file: {e}"))?;
        let identity = files.identity().map_err(|e| format!("cells.cert_file: {e}"))?;
        let pair =
            |i: tls::ClientIdentity| ClientTlsConfig { client_cert: i.cert, client_key: i.key };
        Ok(Some(TlsCertificates { client_tls: identity.map(pair), root_cert }))
    }
}

#[async_trait]
impl CredentialProvider for Access {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        let password = self.login().map_err(|e| Error::new(ErrorKind::Auth, e))?;
        Ok((self.user.clone(), password))
    }
}

fn server(node: &str) -> Result<Server, ConnectError> {
    let bad = || ConnectError(format!("{node:?} is not host:port"));
    let (host, port) = node.rsplit_once(':').ok_or_else(bad)?;
    Ok(Server::new(host, port.parse().map_err(|_| bad())?))
}
