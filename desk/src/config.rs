//! The operators' listener.

runtime::section! {
    /// The operators' listener.
    pub struct AdminConfig, checked by short {
        /// Address and port.
        listen: String = "127.0.0.1:9090".into(), listen;
        /// The most connections at once.
        max_connections: usize = 256, range(1..=1_000_000);
        /// The operators' bearer token, at least 16 characters; `dev` makes one when empty.
        token: String = String::new(), secret;
    }
}

fn short(c: &AdminConfig) -> Vec<String> {
    let short = !c.token.is_empty() && c.token.len() < 16;
    runtime::config::told(&[(short, "token: at least 16 characters")])
}
