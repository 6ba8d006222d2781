//! How large the slab of a soak is, and its parts.

use std::collections::BTreeMap;

use pipeline::spec;
use pipeline::units::Bytes;

use crate::args;
use crate::plan::LANES_MAX;
use crate::stock;

const MEBIBYTE: u64 = 1 << 20;

/// Bytes of the slab and its parts.
pub(crate) struct Sizes {
    pub(crate) budget: u64,
    /// What is left for voices.
    pub(crate) room: u64,
    pub(crate) workspace: u64,
    pub(crate) reserve: u64,
}

impl Sizes {
    /// As said, or enough for a third of the voices.
    pub(crate) fn of(args: &args::Args, service: &spec::Service) -> Self {
        let of = |bytes: Option<Bytes>, usual: u64| bytes.map_or(usual, |Bytes(bytes)| bytes);
        let workspace = of(args.workspace, 256 * MEBIBYTE);
        let reserve = of(args.reserve, 64 * MEBIBYTE);
        let model = service.pipelines.values().next();
        let bert = model.and_then(|it| service.berts.get(service.bert_of(it)));
        let bert = bert.map_or(0, |bert| stock::graph_bytes(&bert.graph));
        let voices: Vec<_> = service
            .voices
            .iter()
            .map(|voice| (voice.name.as_str(), stock::bytes(&voice.source)))
            .collect();
        let (slots, third) = match stock::is_zoo(args) {
            true => of_kinds(&voices),
            false => of_one(args, &voices),
        };
        let fixed = bert + bert / 8 + slots + workspace + reserve;
        let budget = of(args.budget, fixed + third);
        let largest = voices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        Self {
            budget,
            room: budget.saturating_sub(fixed).max(largest),
            workspace,
            reserve,
        }
    }
}

/// For slots, and for a third of the voices, where all are of one kind.
fn of_one(args: &args::Args, voices: &[(&str, u64)]) -> (u64, u64) {
    let largest = voices.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    // Sessions keep shapes and integers beside their weights.
    let slots = args.slots.max(args.lanes) as u64 * (largest + 4 * MEBIBYTE);
    // Voices that run do not go: one for each lane, and others beside them.
    let stay = voices.len().div_ceil(3).max(args.lanes + 2);
    // With sessions of its own a voice holds its weights twice, packed and
    // not, for each lane.
    let each = match args.prepack {
        true => largest * 2 * args.lanes as u64,
        false => largest + MEBIBYTE / 8,
    };
    (slots, stay as u64 * each)
}

/// The same where each kind has slots of its own, or sessions.
fn of_kinds(voices: &[(&str, u64)]) -> (u64, u64) {
    // What is stored as halves is held as floats.
    let held = |(name, bytes): &(&str, u64)| match stock::kind_of(name) {
        "demo" => 2 * bytes,
        _ => *bytes,
    };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for voice in voices {
        let largest = kinds.entry(stock::kind_of(voice.0)).or_default();
        *largest = held(voice).max(*largest);
    }
    let lanes = LANES_MAX as u64;
    let slots = kinds.values().map(|bytes| lanes * (bytes + MEBIBYTE / 2));
    let third = voices.iter().map(held).sum::<u64>() / 3;
    // Whichever voices run must fit beside each other.
    let largest = voices.iter().map(held).max().unwrap_or(0);
    (slots.sum(), third.max(2 * largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_slots_and_voices_a_third() {
        let voices = [
            ("demo-000", 5 * MEBIBYTE),
            ("demo-001", 5 * MEBIBYTE),
            ("wide-000", 60 * MEBIBYTE),
            ("wide-001", 60 * MEBIBYTE),
            ("wide-002", 61 * MEBIBYTE),
        ];
        let (slots, third) = of_kinds(&voices);
        assert_eq!(slots, (4 * 10 + 4 * 61 + 4) * MEBIBYTE);
        assert_eq!(third, 122 * MEBIBYTE);
    }
}
