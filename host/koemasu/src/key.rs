//! `koemasu key`: a new API key, and the table that lets it in.
//!
//! The key is shown once and kept nowhere; the table has only its SHA-256. The
//! table goes to standard output, so that `koemasu key bot >> koemasu.toml`
//! writes no key into the file.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::args;
use server::http::access::Digest256;
use server::line;

/// So that people and scanners of leaked secrets know what it is.
const PREFIX: &str = "km_";

pub(crate) fn run(key: &args::Key) -> anyhow::Result<()> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    line::tell(format_args!("The key, shown this once: {secret}"));
    line::tell("For koemasu.toml, which needs no key in it:");
    line::out().lines(&table(&key.name, &Digest256::of(secret.as_bytes())))?;
    Ok(())
}

fn table(name: &str, digest: &Digest256) -> String {
    // A string of JSON is one of TOML, whatever is escaped in it.
    let name = serde_json::Value::from(name);
    format!("\n[[keys]]\nname = {name}\nsha256 = \"{}\"\n", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_can_be_pasted() {
        #[derive(serde::Deserialize)]
        struct File {
            keys: Vec<server::http::access::KeySpec>,
        }
        for name in ["bot", "a \"bot\"", "声\n[admin]\ntoken = \"x\""] {
            let table = table(name, &Digest256::of(b"x"));
            let file: File = toml::from_str(&table).expect("good TOML");
            assert_eq!(file.keys[0].name, name);
            assert_eq!(file.keys[0].sha256, Digest256::of(b"x"));
        }
    }
}
