//! Eviction policies: ours, and those that misbehave.

use plugin::evictor::{Action, Proposal};
use plugin::testing::{self, TRIGGER_REVISION, hostile_evictor};
use plugin::{CallError, Limits, Trap};
use serde_json::json;

use crate::stand::{built, evictor, patient, sandbox, snapshot};

/// Loads, triggers, and checks that the plugin serves on.
fn triggered(guest: Vec<u8>) -> CallError {
    let plugin = evictor(guest, &json!({})).expect("it behaves while it is loaded");
    let question = snapshot(7, 100, |_| ());
    let before = plugin.propose(&question).expect("an answer");
    let error = plugin
        .propose(&snapshot(TRIGGER_REVISION, 100, |_| ()))
        .expect_err("it misbehaves");
    let after = plugin.propose(&question).expect("another instance");
    assert_eq!(before, after);
    error
}

#[test]
fn whatever_a_policy_does_the_next_question_finds_it_well() {
    let cases = [
        ("(loop $again (br $again))", Trap::Fuel),
        ("unreachable", Trap::Unreachable),
        (
            "(loop $again (drop (memory.grow (i32.const 16))) (br $again))",
            Trap::Memory,
        ),
    ];
    for (does, trap) in cases {
        for reusable in [true, false] {
            let error = triggered(hostile_evictor(reusable, does));
            assert_eq!(error, CallError::Trap(trap.clone()), "{does}");
        }
    }
}

#[test]
fn a_loop_ends_with_the_deadline_if_not_before() {
    let limits = Limits {
        fuel_base: u64::MAX,
        fuel_max: u64::MAX,
        propose_deadline: std::time::Duration::from_millis(50),
        ..patient()
    };
    let source = plugin::Source {
        name: "test".to_owned(),
        bytes: hostile_evictor(true, "(loop $again (br $again))"),
    };
    let plugin = sandbox()
        .load_evictor(source, &json!({}), &limits)
        .expect("it behaves while it is loaded");
    let error = plugin.propose(&snapshot(TRIGGER_REVISION, 100, |_| ()));
    assert_eq!(error, Err(CallError::Trap(Trap::Deadline)));
}

#[test]
fn more_actions_than_anybody_reads_are_refused() {
    let many = "(loop $again (call $evict (i64.const 1)) (br_if $again (i32.lt_u (global.get $actions) (i32.const 300))))";
    let error = triggered(hostile_evictor(true, many));
    assert_eq!(
        error,
        CallError::Answer("300 actions; the most is 256".to_owned())
    );
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let error = triggered(hostile_evictor(true, "(local.set $revision (i64.const 1))"));
    assert_eq!(
        error,
        CallError::Answer("it answers revision 1, asked was 666".to_owned())
    );
}

#[test]
fn what_is_proposed_of_unknown_voices_is_handed_on_to_be_checked() {
    let plugin = evictor(
        hostile_evictor(true, "(call $evict (i64.const 99))"),
        &json!({}),
    )
    .expect("loads");
    let answer = plugin.propose(&snapshot(TRIGGER_REVISION, 100, |_| ()));
    let expected = Proposal {
        revision: TRIGGER_REVISION,
        actions: vec![Action::Evict(99)],
    };
    assert_eq!(answer, Ok(expected));
}

fn refused(guest: Vec<u8>) -> String {
    let error = evictor(guest, &json!({})).err().expect("refused");
    error.to_string()
}

#[test]
fn a_policy_that_evicts_whom_it_may_not_is_not_loaded() {
    let first = "(if (local.get $count) (then (call $evict (i64.load (local.get $items)))))";
    assert_eq!(
        refused(testing::evictor(true, first)),
        "the check at load failed: for every voice pinned it proposes to give up 1, which is pinned, in a run or not there"
    );
    assert!(refused(testing::evictor(true, "(call $evict (i64.const 99))")).contains("no voice"));
}

#[test]
fn a_policy_that_answers_differently_twice_is_not_loaded_as_deterministic() {
    // Nothing to count with but its own calls, which only a kept instance sees.
    let counts = "(if (i32.and (i32.eq (local.get $count) (i32.const 4)) (i32.eqz (i32.or (i32.load offset=68 (local.get $items)) (i32.load8_u offset=72 (local.get $items))))) (then (if (i32.and (global.get $calls) (i32.const 1)) (then (call $evict (i64.load (local.get $items)))))))";
    let told = refused(testing::evictor(true, counts));
    assert!(told.contains("gave two answers"), "{told}");
    evictor(testing::evictor(false, counts), &json!({})).expect("in fresh instances it is");
}

#[test]
fn another_world_is_named() {
    let told = refused(testing::bucketer_answering(1));
    assert!(
        told.starts_with("it is no eviction-policy: it exports"),
        "{told}"
    );
}

#[test]
fn evict_cost_gives_up_what_is_worth_least() {
    let plugin = evictor(built("evict-cost"), &json!({})).expect("loads");
    let propose = |question| plugin.propose(&question).expect("an answer").actions;
    assert_eq!(
        propose(snapshot(1, 100, |_| ())),
        [Action::Demote(1)],
        "longest unused"
    );
    let quick = |item: &mut plugin::evictor::Item| {
        item.reload_us = if item.id == 3 { 1_000 } else { 1_000_000 };
    };
    assert_eq!(propose(snapshot(2, 100, quick)), [Action::Demote(3)]);
    let held = |item: &mut plugin::evictor::Item| match item.id {
        1 => item.pinned = true,
        2 => item.in_flight = 1,
        _ => item.guarded = true,
    };
    assert_eq!(propose(snapshot(3, 100, held)), []);
    assert_eq!(propose(snapshot(4, 250, |_| ())).len(), 3);
}

#[test]
fn evict_cost_takes_weights_and_refuses_wrong_ones() {
    let lfu = json!({"recency": 0, "cost": 0, "size": 0, "frequency": 1.5});
    let plugin = evictor(built("evict-cost"), &lfu).expect("loads");
    let seldom = |item: &mut plugin::evictor::Item| {
        item.hits = if item.id == 2 { 1.0 } else { 9.0 };
    };
    let answer = plugin
        .propose(&snapshot(1, 100, seldom))
        .expect("an answer");
    assert_eq!(answer.actions, [Action::Demote(2)]);
    let refused = |settings| {
        let error = evictor(built("evict-cost"), &settings).err();
        error.expect("refused").to_string()
    };
    assert_eq!(
        refused(json!({"cost": -1})),
        "its settings are wrong: `cost`: a number from 0 to 8"
    );
    assert!(refused(json!({"costs": 1})).contains("`costs`: unknown; known are `recency`"));
}
