//! JSON bodies, and what is wrong in them as FastAPI tells it: a place, a kind
//! and a sentence.

use hyper::StatusCode;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use crate::http::fault::Fault;

/// A place in a body: names of fields and numbers of items.
#[derive(Clone, Debug)]
pub(super) struct Loc(Vec<Value>);

impl Loc {
    pub(super) fn body() -> Self {
        Self(vec![json!("body")])
    }

    pub(super) fn at(&self, step: impl Into<Value>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    /// What is there cannot be taken.
    pub(super) fn wrong(&self, cause: impl Into<String>) -> Fault {
        self.told("value_error", cause.into())
    }

    fn told(&self, kind: &str, cause: String) -> Fault {
        let steps: Vec<_> = self.0.iter().map(step).collect();
        let detail = format!("{}: {cause}", steps.join("."));
        let told = json!([{ "type": kind, "loc": self.0, "msg": cause }]);
        Fault {
            told: Some(Box::new(told)),
            ..Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }
}

fn step(step: &Value) -> String {
    step.as_str()
        .map_or_else(|| step.to_string(), str::to_owned)
}

/// Fields that are not known are passed over, as clients send some of their
/// own; whatever content type they give it.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    parse_borrowed(body)
}

/// The same for what keeps pieces of the body.
pub(super) fn parse_borrowed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Fault> {
    let loc = Loc::body();
    if body.is_empty() {
        return Err(loc.told("missing", "a JSON body is needed".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader);
    let value = value.map_err(|error| {
        let mut loc = loc.clone();
        for segment in error.path() {
            loc = match segment {
                Segment::Seq { index } => loc.at(*index),
                Segment::Map { key } => loc.at(key.as_str()),
                Segment::Enum { .. } | Segment::Unknown => loc,
            };
        }
        let cause = error.inner().to_string();
        // The path leads to where the field is missing, not to the field.
        match cause
            .strip_prefix("missing field `")
            .and_then(|it| it.split_once('`'))
        {
            Some((field, _)) => loc
                .at(field)
                .told("missing", "this field is needed".to_owned()),
            None => loc.wrong(cause),
        }
    })?;
    reader.end().map_err(|error| loc.wrong(error.to_string()))?;
    Ok(value)
}

/// A whole number, also where it is written as a fraction.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    // Beyond it not every number has a fraction of its own.
    let exact = 0.0..=(1u64 << 53) as f64;
    match number.fract() == 0.0 && exact.contains(&number.abs()) {
        true => Ok(number as i64),
        false => Err(D::Error::custom(format!(
            "{number} is no whole number that fits here"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[serde(deserialize_with = "whole")]
        #[expect(dead_code, reason = "only parsed")]
        number: i64,
    }

    fn told(body: &str) -> Value {
        let fault = parse::<Outer>(body.as_bytes()).expect_err("refused");
        assert_eq!(fault.status, StatusCode::UNPROCESSABLE_ENTITY);
        fault.told.expect("a place")[0].clone()
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (body, loc, kind) in [
            ("", json!(["body"]), "missing"),
            ("{}", json!(["body", "inner"]), "missing"),
            (
                "{\"inner\": [{}]}",
                json!(["body", "inner", 0, "number"]),
                "missing",
            ),
            (
                "{\"inner\": [{\"number\": 1.5}]}",
                json!(["body", "inner", 0, "number"]),
                "value_error",
            ),
            ("{\"inner\": 1}", json!(["body", "inner"]), "value_error"),
            ("{\"inner\": []} x", json!(["body"]), "value_error"),
        ] {
            let told = told(body);
            assert_eq!(
                (&told["loc"], &told["type"]),
                (&loc, &json!(kind)),
                "{body}"
            );
        }
        assert!(parse::<Outer>(b"{\"inner\": [{\"number\": 2.0}], \"more\": 1}").is_ok());
    }
}
