//! `GET /openapi.json`.

use crate::answer::{self, Answer};
use crate::fault::Fault;
use crate::route::Call;

pub(crate) async fn document(_: Call) -> Result<Answer, Fault> {
    Ok(answer::json(&serde_json::json!({})))
}
