//! The decoder's half of a run: windows of the latent, several at a time,
//! handed on in their order.
//!
//! Each window is decoded by a session with a core of its own: kernels divide a
//! window badly among threads, and windows need nothing of each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use ort::session::SessionOutputs;

use crate::error::Error;
use crate::events;
use crate::graph::{OpenGraph, floats, tensor};
use crate::native::tensors::Used;
use crate::onnx::{CONDITION, CONTEXT, LATENT};
use crate::stop::Stop;
use crate::synthesis::{OUTPUT, Sink, check_samples};
use crate::window::{self, SMALLEST, Window};

/// What the front hands to the decoder.
pub(crate) struct Latent {
    channels: usize,
    frames: usize,
    /// [channels, frames], row by row.
    values: Vec<f32>,
    condition: Vec<f32>,
    /// Of the decoder it is for.
    margin: Option<usize>,
}

/// Where a window's samples go, as they come.
type Take<'t> = dyn FnMut(&[f32]) -> Result<(), Error> + 't;

/// Whether others are to be let in now.
pub type LetsIn<'l> = dyn Fn() -> bool + Sync + 'l;

/// What one window, or a part of it, has come to.
enum Event {
    Samples(Vec<f32>),
    End(Result<(), Error>),
}

impl Latent {
    pub(crate) fn read(outputs: &SessionOutputs<'_>, margin: Option<usize>) -> Result<Self, Error> {
        let (shape, values) = floats(outputs, LATENT)?;
        let (_, condition) = floats(outputs, CONDITION)?;
        match *shape {
            [1, channels, frames] if channels > 0 && frames > 0 => Ok(Self {
                channels: channels as usize,
                frames: frames as usize,
                values: values.to_vec(),
                condition: condition.to_vec(),
                margin,
            }),
            _ => Err(Error::Run(format!("the latent has shape {shape:?}"))),
        }
    }

    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Windows from the first on, each by whichever decoder is free; where
    /// memory is short, in smaller ones. Says how many were handed on: all,
    /// unless others are to be let in before a turn of them. With the most bytes
    /// that they hold at once.
    pub(crate) fn decode(
        &self,
        decoders: &mut [OpenGraph],
        windows: &[Window],
        (stop, lets_in): (&Stop, &LetsIn<'_>),
        sink: &mut Sink<'_>,
    ) -> (Result<usize, Error>, usize) {
        let side = decoders.len().min(windows.len());
        let room = Room::new(self.frames);
        let turns = Turns::new(windows, side.max(1), lets_in);
        let decoded = match decoders {
            [decoder, ..] if side <= 1 => {
                let mut decoded = Ok(());
                while let (Ok(()), Some((_, window))) = (&decoded, turns.take()) {
                    decoded = self.decode_one(decoder, window, &room, stop, sink);
                }
                decoded
            }
            _ => self.side_by_side(&mut decoders[..side], &turns, &room, stop, sink),
        };
        let decoded = decoded.map(|()| turns.taken());
        // As many as long at a time as there are: what they held together is
        // not seen, and must not depend on who was faster.
        (decoded, side.max(1) * room.peak.load(Ordering::Relaxed))
    }

    fn side_by_side(
        &self,
        decoders: &mut [OpenGraph],
        turns: &Turns<'_>,
        room: &Room,
        stop: &Stop,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let (tell, told) = mpsc::channel::<(usize, Event)>();
        std::thread::scope(|threads| {
            for decoder in decoders {
                let tell = tell.clone();
                threads.spawn(move || {
                    while let Some((number, window)) = turns.take() {
                        let gone = |_| Error::Cancelled;
                        let mut send = |samples: &[f32]| {
                            let event = Event::Samples(samples.to_vec());
                            tell.send((number, event)).map_err(gone)
                        };
                        let decoded = self.decode_one(decoder, window, room, stop, &mut send);
                        let ends = decoded.is_err();
                        if tell.send((number, Event::End(decoded))).is_err() || ends {
                            break;
                        }
                    }
                });
            }
            drop(tell);
            let handed_on = hand_on(&told, sink);
            if handed_on.is_err() {
                turns.end();
            }
            drop(told);
            let handed_on = handed_on?;
            match handed_on == turns.taken() {
                true => Ok(()),
                false => Err(Error::Run("a window was lost".to_owned())),
            }
        })
    }

    fn decode_one(
        &self,
        decoder: &mut OpenGraph,
        window: &Window,
        room: &Room,
        stop: &Stop,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let mut kept = window.keep.start;
        while kept < window.keep.end {
            let end = window.keep.end.min(kept + room.size());
            let part = match window.keep == (kept..end) {
                true => window.clone(),
                false => window::around(kept..end, self.frames),
            };
            let (ran, used) = self.run(decoder, &part, stop, take);
            room.used(used);
            match ran {
                Ok(()) => kept = end,
                Err(Error::OutOfMemory(no_room)) if room.shrink(end - kept) => {
                    events::window_halved(&no_room, room.size());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn run(
        &self,
        decoder: &mut OpenGraph,
        window: &Window,
        stop: &Stop,
        take: &mut Take<'_>,
    ) -> (Result<(), Error>, Used) {
        let frames = window.frames.len();
        let rows = self.values.chunks_exact(self.frames);
        let latent: Vec<f32> = rows
            .flat_map(|row| &row[window.frames.clone()])
            .copied()
            .collect();
        let condition = [1, self.condition.len(), 1];
        let around = [
            window.keep.start - window.frames.start,
            window.frames.end - window.keep.end,
        ];
        let inputs = tensor(&[1, self.channels, frames], latent).and_then(|latent| {
            let condition = tensor(&condition, self.condition.clone())?;
            let mut inputs = vec![(LATENT, latent), (CONDITION, condition)];
            if self.margin.is_some() {
                let context = around.map(|frames| frames as i64).to_vec();
                inputs.push((CONTEXT, tensor(&[2], context)?));
            }
            Ok(inputs)
        });
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(error) => return (Err(error), Used::default()),
        };
        decoder.run(inputs, stop, |outputs| {
            let (_, samples) = floats(outputs, OUTPUT.name)?;
            let most = self.margin.unwrap_or(usize::MAX);
            let [before, after] = around.map(|frames| frames.min(most));
            let frames = before + window.keep.len() + after;
            if samples.len() % frames != 0 {
                return Err(Error::Run(format!(
                    "{} samples came of {frames} frames",
                    samples.len()
                )));
            }
            let hop = samples.len() / frames;
            let from = before * hop;
            let to = from + window.keep.len() * hop;
            check_samples(&samples[from..to])?;
            take(&samples[from..to])
        })
    }
}

/// Who takes which window. They are taken in their order, as many at a time as
/// there are decoders, which is a turn; before each turn but the first others
/// may be let in, and then nobody takes any more.
struct Turns<'t> {
    windows: &'t [Window],
    side: usize,
    lets_in: &'t LetsIn<'t>,
    next: Mutex<(usize, bool)>,
}

impl<'t> Turns<'t> {
    fn new(windows: &'t [Window], side: usize, lets_in: &'t LetsIn<'t>) -> Self {
        Self {
            windows,
            side,
            lets_in,
            next: Mutex::new((0, false)),
        }
    }

    fn take(&self) -> Option<(usize, &'t Window)> {
        let mut next = self.lock();
        let (number, over) = *next;
        let window = self.windows.get(number).filter(|_| !over)?;
        if number > 0 && number.is_multiple_of(self.side) && (self.lets_in)() {
            next.1 = true;
            return None;
        }
        next.0 += 1;
        Some((number, window))
    }

    fn taken(&self) -> usize {
        self.lock().0
    }

    /// Nobody begins another.
    fn end(&self) {
        self.lock().1 = true;
    }

    fn lock(&self) -> MutexGuard<'_, (usize, bool)> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the sink, in the order of the windows, until nobody tells of any. Says
/// how many were whole.
fn hand_on(told: &mpsc::Receiver<(usize, Event)>, sink: &mut Sink<'_>) -> Result<usize, Error> {
    let mut waiting: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    let mut current = 0;
    while let Ok((number, event)) = told.recv() {
        if number != current {
            // An error is told when its turn comes: what is before it is good.
            waiting.entry(number).or_default().push(event);
            continue;
        }
        let mut events = vec![event];
        loop {
            let mut ended = false;
            for event in events {
                match event {
                    Event::Samples(samples) => sink(&samples)?,
                    Event::End(decoded) => {
                        decoded?;
                        ended = true;
                    }
                }
            }
            if !ended {
                break;
            }
            current += 1;
            match waiting.remove(&current) {
                Some(next) => events = next,
                None => break,
            }
        }
    }
    Ok(current)
}

/// How large windows may be, and what the largest has held.
struct Room {
    size: AtomicUsize,
    peak: AtomicUsize,
}

impl Room {
    fn new(size: usize) -> Self {
        Self {
            size: AtomicUsize::new(size.max(1)),
            peak: AtomicUsize::new(0),
        }
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn used(&self, used: Used) {
        self.peak.fetch_max(used.peak, Ordering::Relaxed);
    }

    /// Smaller than one that had no room, if it can be.
    fn shrink(&self, had: usize) -> bool {
        let smaller = had / 2;
        let can = had > SMALLEST;
        if can {
            self.size.fetch_min(smaller.max(1), Ordering::Relaxed);
        }
        can
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(number: usize) -> (usize, Event) {
        (number, Event::End(Ok(())))
    }

    fn samples(number: usize, value: f32) -> (usize, Event) {
        (number, Event::Samples(vec![value]))
    }

    fn handed(events: Vec<(usize, Event)>) -> (Result<usize, Error>, Vec<f32>) {
        let (tell, told) = mpsc::channel();
        for event in events {
            tell.send(event).expect("a listener");
        }
        drop(tell);
        let mut heard = Vec::new();
        let ended = hand_on(&told, &mut |samples| {
            heard.extend_from_slice(samples);
            Ok(())
        });
        (ended, heard)
    }

    #[test]
    fn windows_leave_in_their_order_whichever_ends_first() {
        let events = vec![
            samples(2, 5.0),
            samples(1, 3.0),
            samples(0, 1.0),
            end(2),
            samples(0, 2.0),
            end(0),
            samples(1, 4.0),
            end(1),
        ];
        let (ended, heard) = handed(events);
        assert!(matches!(ended, Ok(3)));
        assert_eq!(heard, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn what_comes_before_a_failure_is_heard() {
        let events = vec![
            (1, Event::End(Err(Error::Cancelled))),
            samples(0, 1.0),
            end(0),
        ];
        let (ended, heard) = handed(events);
        assert!(matches!(ended, Err(Error::Cancelled)));
        assert_eq!(heard, [1.0]);
        let (lost, _) = handed(vec![samples(0, 1.0)]);
        assert!(matches!(lost, Ok(0)), "it never ended");
    }

    #[test]
    fn others_are_let_in_between_turns_and_never_within_one() {
        let windows = window::side_by_side(1_000, 100, 2, window::Pace::Even);
        assert_eq!(windows.len(), 10);
        for after in 0..6 {
            let asked = AtomicUsize::new(0);
            let lets_in = || asked.fetch_add(1, Ordering::Relaxed) == after;
            let turns = Turns::new(&windows, 2, &lets_in);
            let mut numbers = Vec::new();
            while let Some((number, window)) = turns.take() {
                assert_eq!(*window, windows[number]);
                numbers.push(number);
            }
            let taken = (2 * (after + 1)).min(10);
            assert_eq!(numbers, (0..taken).collect::<Vec<_>>());
            assert_eq!(turns.taken(), taken);
            assert!(turns.take().is_none(), "it stays so");
        }
    }
}
