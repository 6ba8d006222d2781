//! How deep a TOML document may nest.
//!
//! A dotted key is a table for each dot, and whoever reads it calls itself once
//! for each; so does the parser for each bracket that opens, even after its own
//! bound, to tell of all that is wrong. Some thousand of either would use up
//! the stack, which ends the process.

use serde::de::DeserializeOwned;

/// Parts of a key; none of ours has more than five.
const PARTS_MAX: usize = 32;

/// Tables and arrays within each other; none of ours has more than four.
const DEPTH_MAX: usize = 64;

/// Reads a TOML text from outside; the one way in for all of them.
pub fn parse<T: DeserializeOwned>(toml: &str) -> Result<T, String> {
    check(toml)?;
    toml::from_str(toml).map_err(|e| e.to_string())
}

/// Refuses what nests deeper than any reader wants, before it is parsed.
fn check(toml: &str) -> Result<(), String> {
    let mut parts = 1;
    // One for each kind: what closes another one closes nothing.
    let (mut tables, mut arrays) = (0_usize, 0_usize);
    let mut line = 1;
    let mut rest = toml;
    while let Some(first) = rest.chars().next() {
        let passed = match first {
            '"' | '\'' => string(rest, first),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        match first {
            '.' => parts += 1,
            '{' => {
                tables += 1;
                parts = 1;
            }
            '[' => {
                arrays += 1;
                parts = 1;
            }
            '}' => tables = tables.saturating_sub(1),
            ']' => arrays = arrays.saturating_sub(1),
            '\n' | '=' | ',' => parts = 1,
            _ => {}
        }
        if tables.max(arrays) > DEPTH_MAX {
            return Err(format!(
                "line {line}: more than {DEPTH_MAX} tables or arrays lie within each other"
            ));
        }
        if parts > PARTS_MAX {
            return Err(format!(
                "line {line}: a key has more than {PARTS_MAX} parts; name it by fewer"
            ));
        }
        line += rest[..passed].matches('\n').count();
        rest = &rest[passed..];
    }
    Ok(())
}

/// Bytes of the string at the beginning of `text`, with its quotes. One without
/// an end goes as far as it may: its reader tells of it.
fn string(text: &str, quote: char) -> usize {
    let long: String = std::iter::repeat_n(quote, 3).collect();
    let lines = text.starts_with(&long);
    let end = if lines { long.as_str() } else { &long[..1] };
    let begin = end.len();
    let mut escaped = false;
    for (place, character) in text[begin..].char_indices() {
        let at = begin + place;
        if escaped {
            escaped = false;
        } else if character == '\\' && quote == '"' {
            escaped = true;
        } else if text[at..].starts_with(end) {
            return at + end.len();
        } else if character == '\n' && !lines {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_are_counted() {
        let dots = ".".repeat(100);
        for fine in [
            format!("a = \"{dots}\""),
            format!("a = '{dots}' # {dots}"),
            format!("a = \"\"\"\n{dots}\n\\\"{dots}\"\"\""),
            format!("a = '''\n{dots}\n'''\nb.c.d = 1"),
            format!("\"{dots}\".a = 1"),
            "a.b = 1\n".repeat(100),
            "a = [0.1, 0.2, 0.3]\n".repeat(100),
            "[[a]]\nb = { c = \"{\" } # {\n".repeat(100),
        ] {
            assert_eq!(check(&fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn brackets_that_would_use_up_the_stack_are_refused() {
        for bracket in ["[", "{", "{a=", "[[a]", "{ a.b = [\n", "{]", "[}"] {
            let text = format!("a = {}", bracket.repeat(100_000));
            let refused = check(&text).expect_err("too deep");
            assert!(refused.contains("within each other"), "{refused}");
        }
    }

    #[test]
    fn a_key_that_would_use_up_the_stack_is_refused_with_its_line() {
        let deep = vec!["a"; 100_000].join(".");
        for text in [
            format!("b = 1\n{deep} = 1"),
            format!("b = 1\n[{deep}]"),
            format!("b = 1\nc = {{ {deep} = 1 }}"),
            format!("b = \"\"\"\n\"\"\"\n[[{deep}]]").replacen("b = \"\"\"\n", "b = \"\"\"", 1),
        ] {
            let refused = check(&text).expect_err("too deep");
            assert!(
                refused.contains("a key has more than 32 parts"),
                "{refused}"
            );
        }
    }
}
