//! Settings that are each fine and dangerous together: said by `koemasu check`
//! and in the log of every start and reload. They refuse nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use memory::policy::{Amount, Mode};
use session::device::Wanted;

use crate::config::Config;

/// Each says what can happen and what to change.
pub fn of(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    doors(config, &mut found);
    shares(config, &mut found);
    times(config, &mut found);
    memory(config, &mut found);
    files(config, &mut found);
    found
}

fn doors(config: &Config, found: &mut Vec<String>) {
    let (server, entry) = (&config.server, &config.entry);
    let far = config.reachable_from_afar();
    let behind_proxy = !server.names.is_empty();
    let mut say = |text: String| found.push(text);
    if let Some(address) = far
        && entry.keys.is_empty()
    {
        say(format!(
            "whoever reaches {address} may speak as much as the server can: `server.open` is set and no `[[keys]]` are; `koemasu key` makes one"
        ));
    }
    if let Some(address) = far
        && (!entry.keys.is_empty() || entry.admin.token.is_some())
        && !behind_proxy
    {
        say(format!(
            "keys and tokens sent to {address} can be read on the way: this server speaks no TLS; put a proxy that does in front, listen on 127.0.0.1 and name it in `server.names`"
        ));
    }
    if behind_proxy && entry.admin.token.is_none() {
        say("`server.names` says that a proxy passes requests on, and `admin.token` is missing: a proxy that does not add `Forwarded` or `X-Forwarded-For` makes strangers look like this machine; set one".to_owned());
    }
    if let Some(token) = &entry.admin.token {
        if token.chars().count() < TOKEN_CHARACTERS {
            say(format!(
                "`admin.token` has fewer than {TOKEN_CHARACTERS} characters and can be guessed; `koemasu key` makes a longer one"
            ));
        }
        let digest = crate::http::access::Digest256::of(token.as_bytes());
        for key in entry.keys.iter().filter(|key| key.sha256 == digest) {
            say(format!(
                "the key `{}` is the admin token as well: who may speak may do everything; make another one of them",
                key.name
            ));
        }
    }
    if entry.cors.origins.iter().any(|origin| origin == "*") && entry.keys.is_empty() {
        say("every web page that somebody on this machine or network opens may speak: `cors.origins` has \"*\" and no `[[keys]]` are set; name the origins".to_owned());
    }
}

/// A short one is tried out in a day.
const TOKEN_CHARACTERS: usize = 16;

fn shares(config: &Config, found: &mut Vec<String>) {
    let server = &config.server;
    for (part, of, name, whole) in [
        (
            server.requests_per_address,
            server.requests_max,
            "requests_per_address",
            "requests_max",
        ),
        (
            server.connections_per_address,
            server.connections_max,
            "connections_per_address",
            "connections_max",
        ),
    ] {
        if part >= of && config.reachable_from_afar().is_some() {
            found.push(format!(
                "one address can take everything and keep all others out: `server.{name}` ({part}) is not less than `server.{whole}` ({of})"
            ));
        }
    }
    for network in server.proxies.iter().filter(|network| network.is_wide()) {
        found.push(format!(
            "what is bounded for each address is bounded for nobody in {network}, which is more than the proxies in front of one server; name their addresses in `server.proxies`"
        ));
    }
}

fn times(config: &Config, found: &mut Vec<String>) {
    let server = &config.server;
    for (name, span, most) in [
        ("header_timeout", server.header_timeout.0, 120),
        ("body_timeout", server.body_timeout.0, 600),
        ("write_timeout", server.write_timeout.0, 600),
    ] {
        if span > Duration::from_secs(most) {
            found.push(format!(
                "connections that do nothing are kept for {} s (`server.{name}`), so that a few thousand of them fill the server; {most} s are enough for any line",
                span.as_secs()
            ));
        }
    }
    if server.drain.0 > Duration::from_secs(80) {
        found.push(format!(
            "a stop may take {} s (`server.drain`); systemd kills after 90 s and Docker after 10 s unless told otherwise",
            server.drain.0.as_secs()
        ));
    }
}

fn memory(config: &Config, found: &mut Vec<String>) {
    let policy = &config.service.memory.policy;
    if policy.mode != Mode::Slab {
        found.push(
            "memory creeps with every new length and voice: `memory.mode` is one of the two that are kept for comparison; \"slab\" is the one that holds".to_owned(),
        );
    }
    let limit = session::watch::memory_limit();
    let on_cpu = config.service.models.device != Wanted::Cuda && session::watch::gpus().is_empty();
    if let (Amount::Of(budget), true) = (policy.budget, on_cpu) {
        // Beside the slab: the program, dictionaries, answers that are kept.
        let beside = config.service.answers.held_max.0.saturating_add(BESIDE);
        if budget.0.saturating_add(beside) > limit {
            found.push(format!(
                "`memory.budget` ({budget}) and what may lie beside it ({} MiB) are more than the {} MiB that this process may have: the system will end it; a smaller budget, or \"auto\", would do",
                beside >> 20,
                limit >> 20
            ));
        }
    }
}

/// The program itself, its dictionary and its plugins.
const BESIDE: u64 = 300 << 20;

fn files(config: &Config, found: &mut Vec<String>) {
    let mode = |path: &Path| path.metadata().map(|meta| meta.permissions().mode()).ok();
    for path in &config.watched {
        // A sticky folder protects what others have put there, not its own.
        if mode(path).is_some_and(|mode| mode & 0o002 != 0) {
            found.push(format!(
                "everybody on this machine may change {}: what is in it is obeyed; take the right to write away (chmod o-w)",
                path.display()
            ));
        }
    }
    if let Some(path) = &config.token_file
        && mode(path).is_some_and(|mode| mode & 0o004 != 0)
    {
        found.push(format!(
            "everybody on this machine may read the admin token in {}; chmod o-r, or set KOEMASU_ADMIN_TOKEN instead",
            path.display()
        ));
    }
}
