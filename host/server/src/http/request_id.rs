//! The name of one request in logs, answers and errors.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The caller's own `x-request-id` if it is plain, else a fresh one.
pub(crate) fn of<B>(request: &hyper::Request<B>) -> String {
    request
        .headers()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_plain(id))
        .map_or_else(fresh, str::to_owned)
}

/// Short and without anything that could end a log line.
fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !id.is_empty() && id.len() <= 64 && id.chars().all(plain)
}

fn fresh() -> String {
    // Unique, not secret: a random start for each process and a counter.
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_kept_only_if_it_is_plain() {
        let of_header = |id: &str| {
            let request = hyper::Request::builder().header("x-request-id", id);
            of(&request.body(()).expect("a legal header"))
        };
        assert_eq!(of_header("bot-17"), "bot-17");
        assert_ne!(of_header("a b"), "a b");
        assert_ne!(of_header(&"x".repeat(65)), "x".repeat(65));
        assert_ne!(fresh(), fresh());
    }
}
