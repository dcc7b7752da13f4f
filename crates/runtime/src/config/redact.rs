//! What people may see of a URL.

/// A URL for people: what stands for a password is replaced.
pub fn without_password(url: &str) -> String {
    let Some((head, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((name, _)) => format!("{head}://{name}:<redacted>@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_without_a_password_stay() {
        for url in ["mysql://me@h/d", "mysql://h/d", "sqlite:x", "pulsar+ssl://h:1"] {
            assert_eq!(without_password(url), url);
        }
    }
}
