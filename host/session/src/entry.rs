//! What voices of one template share.

use std::sync::Arc;

use crate::family::Family;
use crate::gate::Verdict;
use crate::onnx::Template;
use crate::slot::Slots;

/// A template, how its voices are spoken with, and its slots.
pub(crate) struct TemplateEntry {
    pub(crate) template: Arc<Template>,
    pub(crate) family: Family,
    pub(crate) verdict: Verdict,
    /// None if its voices have sessions of their own.
    pub(crate) slots: Option<Arc<Slots>>,
}
