//! What a guest sees of its settings without a JSON parser.

use alloc::vec::Vec;

/// The keys of a JSON object, without those of objects in it. Settings come
/// from the host, so the text is well-formed.
pub fn keys(json: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let (mut depth, mut start, mut escaped) = (0, None, false);
    for (at, c) in json.char_indices() {
        match (start, c) {
            (Some(_), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(from), '"') if !escaped => {
                if depth == 1 && json[at + 1..].starts_with(':') {
                    keys.push(&json[from..at]);
                }
                start = None;
            }
            (Some(_), _) => {}
            (None, '"') => start = Some(at + 1),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            (None, _) => {}
        }
        escaped = false;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_inner_objects_are_not_ours() {
        assert_eq!(
            keys(r#"{"a":{"b":1},"c":["d:"],"e\"":2}"#),
            ["a", "c", "e\\\""]
        );
    }
}
