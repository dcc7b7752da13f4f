//! Why the broker lets nobody in. The library says "fatal error" for a certificate, a token and a
//! port that speaks something else; an operator has to know which. So after such an error the
//! first steps are taken once more by hand: connect, TLS, the greeting.

use std::time::Duration;

use prost::Message as _;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::{BaseCommand, CommandConnect};
use runtime::Secret;
use runtime::tls::Files;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::line::{self, BrokerPlace};

/// What all steps together may take.
const LIMIT: Duration = Duration::from_secs(3);
/// The longest answer to a greeting that is read, bytes.
const LONGEST: u32 = 64 * 1024;
/// How a broker of today greets back.
const PROTOCOL: i32 = 21;

/// What a library's error means; the error itself when nothing more can be found out.
pub(super) async fn why(error: String, url: &str, files: &Files, secret: &Secret) -> String {
    match tokio::time::timeout(LIMIT, refused(url, files, secret)).await {
        Ok(Err(why)) => why,
        Ok(Ok(())) | Err(_) => error,
    }
}

/// The reason as an error; fine when the broker greets back.
async fn refused(url: &str, files: &Files, secret: &Secret) -> Result<(), String> {
    let place = BrokerPlace::of(url, &[("pulsar", 6650, false), ("pulsar+ssl", 6651, true)])?;
    let token = secret.read()?;
    let tcp = TcpStream::connect(&place.authority()).await.map_err(|e| e.to_string())?;
    match place.tls {
        true => greet(&mut line::secure(tcp, &place, files).await?, token).await,
        false => greet(&mut { tcp }, token).await,
    }
}

/// Says hello; an answer that is a refusal, or none, is the error.
async fn greet<S>(stream: &mut S, token: Option<String>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connect = CommandConnect {
        client_version: "sluicegate".to_owned(),
        protocol_version: Some(PROTOCOL),
        auth_method_name: token.is_some().then(|| "token".to_owned()),
        auth_data: token.map(String::into_bytes),
        ..Default::default()
    };
    let hello =
        BaseCommand { r#type: Type::Connect as i32, connect: Some(connect), ..Default::default() };
    let hello = hello.encode_to_vec();
    let size = hello.len() as u32;
    let head = [(size + 4).to_be_bytes(), size.to_be_bytes()].concat();
    let silent = |_| "it closes the connection at the greeting; a port for TLS, or no broker?";
    stream.write_all(&[head, hello].concat()).await.map_err(silent)?;
    let (total, size) = (read_u32(stream).await?, read_u32(stream).await?);
    if size > LONGEST || total < size {
        return Err("what answers is no broker; a port for TLS, or for the admin API?".to_owned());
    }
    let mut answer = vec![0; size as usize];
    stream.read_exact(&mut answer).await.map_err(silent)?;
    let answer = BaseCommand::decode(&answer[..]).map_err(|e| format!("no broker: {e}"))?;
    match answer.error {
        Some(refusal) => Err(format!("the broker refuses: {}", refusal.message)),
        None => Ok(()),
    }
}

async fn read_u32<S: AsyncRead + Unpin>(stream: &mut S) -> Result<u32, String> {
    let gone = "it closes the connection at the greeting; a port for TLS, or no broker?";
    stream.read_u32().await.map_err(|_| gone.to_owned())
}
