//! How many model runs happen at once, over all voices and BERT, and whose
//! turn is next.
//!
//! Sessions bring their own threads; more runs than lanes would only make them
//! fight for cores. The more urgent goes first, then whoever is due first:
//! a request is due when it comes, a stream somewhat sooner, and again when its
//! reader will have heard what was made for it. Waiting has an end.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ahead::Ahead;
use crate::answers::{Answers, Held, Hold};
use crate::backlog::{Backlog, Ticket};
use crate::error::Error;
use crate::events;
use crate::request::Priority;

pub(crate) struct Gate {
    rules: Rules,
    queue: Mutex<Queue>,
    backlog: Arc<Backlog>,
    held: Arc<Held>,
}

/// From `[models]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) lanes: usize,
    /// How long a run waits for its lane.
    pub(crate) wait: Duration,
    /// How long a request may expect to wait before its first run.
    pub(crate) queue: Duration,
    pub(crate) answers: Answers,
}

struct Queue {
    free: usize,
    waiting: Vec<Waiting>,
    /// Whoever came first among equals.
    next: u64,
}

/// When somebody's turn is.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) priority: Priority,
    pub(crate) due: Due,
    /// Which sentence of its request it is for: earlier ones go first.
    pub(crate) sentence: usize,
}

#[derive(Clone)]
pub(crate) enum Due {
    At(Instant),
    /// When the reader of a stream, which began then, will have heard all that
    /// was made: later and later while it is made.
    Heard(Arc<Ahead>, Instant),
}

/// The greatest goes first.
type Rank = (Priority, Reverse<Instant>, Reverse<usize>);

impl Turn {
    fn rank(&self) -> Rank {
        let due = match &self.due {
            Due::At(due) => *due,
            Due::Heard(ahead, start) => ahead.due(*start),
        };
        (self.priority, Reverse(due), Reverse(self.sentence))
    }
}

/// Nobody makes room for somebody who is due so little sooner: changing costs.
const SOONER: Duration = Duration::from_millis(250);

struct Waiting {
    turn: Turn,
    number: u64,
    wake: oneshot::Sender<Lane>,
}

/// The right to run one model once. Moves into the blocking closure, so that
/// a lane is free only when its run has really ended.
pub(crate) struct Lane {
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            queue: Mutex::new(Queue {
                free: rules.lanes,
                waiting: Vec::new(),
                next: 0,
            }),
            backlog: Arc::default(),
            held: Held::new(rules.answers.held_max),
        }
    }

    /// Takes in the work of a request, unless it would wait too long before
    /// it begins.
    pub(crate) fn admit(&self, characters: usize) -> Result<Ticket, Error> {
        let Rules { lanes, queue, .. } = self.rules;
        let admitted = self.backlog.enter(characters, lanes, queue);
        admitted.map_err(|after| {
            events::turned_away(after);
            Error::Full { after }
        })
    }

    /// However much waits already.
    pub(crate) fn admit_always(&self, characters: usize) -> Ticket {
        self.backlog.enter_always(characters)
    }

    pub(crate) fn answers(&self) -> Answers {
        self.rules.answers
    }

    /// Nothing yet of what requests may keep.
    pub(crate) fn hold(&self) -> Hold {
        self.held.hold()
    }

    /// Until the work that was taken in is done.
    pub(crate) fn backlog(&self) -> Duration {
        self.backlog.wait(self.rules.lanes)
    }

    /// The same gate serves the next generation if nothing about it changed.
    pub(crate) fn is(&self, rules: Rules) -> bool {
        self.rules == rules
    }

    pub(crate) fn lanes(&self) -> usize {
        self.rules.lanes
    }

    pub(crate) fn wait(&self) -> Duration {
        self.rules.wait
    }

    /// Whether somebody waits for a lane.
    pub(crate) fn is_crowded(&self) -> bool {
        let queue = self.queue();
        let mut waiting = queue.waiting.iter();
        waiting.any(|waiting| !waiting.wake.is_closed())
    }

    /// Whether somebody waits for a lane who is more urgent than this one, which
    /// has begun, or due clearly sooner.
    pub(crate) fn is_wanted_before(&self, turn: &Turn) -> bool {
        let (priority, Reverse(due), _) = turn.rank();
        let due = match &turn.due {
            Due::At(_) => due,
            Due::Heard(ahead, start) => ahead.due_beginning(*start),
        };
        let queue = self.queue();
        queue.waiting.iter().any(|waiting| {
            let (others, Reverse(theirs), _) = waiting.turn.rank();
            let before = others > priority || others == priority && theirs + SOONER < due;
            before && !waiting.wake.is_closed()
        })
    }

    pub(crate) async fn enter(self: &Arc<Self>, turn: Turn) -> Result<Lane, Error> {
        self.enter_within(turn, self.wait()).await
    }

    pub(crate) async fn enter_within(
        self: &Arc<Self>,
        turn: Turn,
        wait: Duration,
    ) -> Result<Lane, Error> {
        let came = match self.come(turn) {
            Ok(lane) => return Ok(lane),
            Err(came) => came,
        };
        let start = Instant::now();
        let entered = tokio::time::timeout(wait, came).await;
        events::waited(start.elapsed());
        match entered {
            Ok(Ok(lane)) => Ok(lane),
            Ok(Err(_)) | Err(_) => Err(Error::Busy { waited: wait }),
        }
    }

    fn come(self: &Arc<Self>, turn: Turn) -> Result<Lane, oneshot::Receiver<Lane>> {
        let mut queue = self.queue();
        if queue.free > 0 {
            queue.free -= 1;
            return Ok(self.lane());
        }
        let (wake, came) = oneshot::channel();
        // Those who have gone stay until a lane passes them; never for long
        // while lanes are busy, but a burst of callers who leave has a bound.
        queue.waiting.retain(|waiting| !waiting.wake.is_closed());
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push(Waiting { turn, number, wake });
        Err(came)
    }

    fn lane(self: &Arc<Self>) -> Lane {
        Lane {
            gate: Arc::clone(self),
        }
    }

    /// Whose turn it is now; none makes the lane free.
    fn next(&self) -> Option<oneshot::Sender<Lane>> {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.wake.is_closed());
        // Looked at now: who is due changes while they wait.
        let ranks = queue.waiting.iter().enumerate();
        let ranks = ranks.map(|(place, it)| ((it.turn.rank(), Reverse(it.number)), place));
        match ranks.max() {
            Some((_, place)) => Some(queue.waiting.swap_remove(place).wake),
            None => {
                queue.free += 1;
                None
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(wake) = self.gate.next() {
            // Whoever has gone in this moment drops the lane, and so passes
            // it on.
            drop(wake.send(self.gate.lane()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn gate(wait: Duration) -> Arc<Gate> {
        Arc::new(Gate::new(Rules {
            lanes: 1,
            wait,
            queue: LONG,
            answers: Answers::default(),
        }))
    }

    fn turn(priority: Priority, due: Instant) -> Turn {
        Turn {
            priority,
            due: Due::At(due),
            sentence: 0,
        }
    }

    #[tokio::test]
    async fn the_urgent_go_first_and_then_whoever_is_due() {
        let gate = gate(LONG);
        let now = Instant::now();
        let later = now + LONG;
        let first = gate.enter(turn(Priority::Normal, now)).await;
        let first = first.expect("a free lane");
        let waiting = [
            ("late", turn(Priority::Normal, later)),
            ("low", turn(Priority::Low, now)),
            ("soon", turn(Priority::Normal, now)),
            ("high", turn(Priority::High, later)),
            ("soon too", turn(Priority::Normal, now)),
        ];
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        for (name, turn) in waiting {
            let came = gate.come(turn).map(drop).expect_err("no lane is free");
            let told = told.clone();
            tasks.spawn(async move {
                let lane = came.await.expect("a lane in the end");
                told.send(name).expect("a listener");
                drop(lane);
            });
        }
        drop((first, told));
        let mut heard = Vec::new();
        while let Some(name) = order.recv().await {
            heard.push(name);
        }
        assert_eq!(heard, ["high", "soon", "soon too", "late", "low"]);
        assert_eq!(gate.queue().free, 1, "no lane is lost");
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_lane_along() {
        let gate = gate(LONG);
        let now = Instant::now();
        let lane = gate.enter(turn(Priority::Normal, now)).await;
        let lane = lane.expect("a free lane");
        let gone = gate.come(turn(Priority::High, now)).map(drop);
        drop(gone);
        drop(lane);
        let entered = gate.enter(turn(Priority::Normal, now)).await;
        drop(entered.expect("the lane that nobody took"));
        assert_eq!(gate.queue().free, 1);
    }

    #[tokio::test]
    async fn room_is_made_for_who_is_more_urgent_or_due_clearly_sooner() {
        let gate = gate(LONG);
        let now = Instant::now();
        let mine = turn(Priority::Normal, now + LONG);
        let lane = gate.enter(mine.clone()).await.expect("a free lane");
        assert!(!gate.is_wanted_before(&mine), "nobody waits");
        let wants = |other: Turn| {
            let waits = gate.come(other).map(drop).expect_err("no lane is free");
            let wanted = gate.is_wanted_before(&mine);
            drop(waits);
            wanted
        };
        assert!(wants(turn(Priority::Normal, now)));
        assert!(wants(turn(Priority::High, now + 2 * LONG)));
        assert!(!wants(turn(Priority::Low, now)));
        assert!(!wants(turn(Priority::Normal, now + LONG)));
        assert!(!wants(turn(Priority::Normal, now + LONG - SOONER / 2)));
        assert!(!gate.is_wanted_before(&mine), "who has gone wants nothing");
        drop(lane);
    }

    #[tokio::test]
    async fn of_one_request_earlier_sentences_go_first() {
        let gate = gate(LONG);
        let now = Instant::now();
        let lane = gate.enter(turn(Priority::Normal, now)).await;
        let lane = lane.expect("a free lane");
        let sentence = |sentence| Turn {
            sentence,
            ..turn(Priority::Normal, now)
        };
        let later = gate.come(sentence(2)).map(drop).expect_err("it waits");
        let earlier = gate.come(sentence(1)).map(drop).expect_err("it waits");
        drop(lane);
        let lane = earlier.await.expect("its turn");
        drop(lane);
        drop(later.await.expect("and then"));
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let gate = gate(Duration::from_millis(10));
        let now = Instant::now();
        let _lane = gate.enter(turn(Priority::Normal, now)).await;
        let second = gate.enter(turn(Priority::High, now)).await;
        assert!(matches!(second, Err(Error::Busy { .. })));
    }
}
