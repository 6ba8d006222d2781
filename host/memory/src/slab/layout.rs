//! The zones, and how long each is.

use std::ops::Range;

use super::round_up;

/// A part of the slab for what lives about as long.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// Weights: BERT's, those that sessions alias or own, those that wait.
    Models,
    /// What a run needs while it runs.
    Activations,
    /// For what threads of ONNX Runtime's own allocate when there is no room:
    /// there nobody can be refused, so it gets this and the run is told to end.
    Reserve,
}

impl Zone {
    /// They lie in this order in the reservation.
    pub const ALL: [Self; 3] = [Self::Models, Self::Activations, Self::Reserve];

    /// Logs, metrics and errors call the zone so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Activations => "activations",
            Self::Reserve => "reserve",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Bytes of each zone, in the order of [`Zone::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout(pub [usize; 3]);

impl Layout {
    /// Bytes that the zone has here.
    pub fn of(self, zone: Zone) -> usize {
        self.0[zone.index()]
    }

    /// The length is rounded up to [`ALIGNMENT`](super::ALIGNMENT).
    #[must_use]
    pub fn with(mut self, zone: Zone, bytes: usize) -> Self {
        self.0[zone.index()] = round_up(bytes);
        self
    }

    /// Bytes of the three together.
    pub fn total(self) -> usize {
        self.0.iter().sum()
    }

    /// With no zone smaller than so many bytes.
    #[must_use]
    pub fn at_least(self, bytes: usize) -> Self {
        Self(self.0.map(|zone| zone.max(bytes)))
    }

    /// Zones behind each other, each as long as here and full up to `limits`.
    pub(super) fn ranges(self, limits: Self) -> [Range<usize>; 3] {
        let mut start = 0;
        let mut ranges = self.0.map(|bytes| {
            let range = start..start + bytes;
            start = range.end;
            range
        });
        for (range, limit) in ranges.iter_mut().zip(limits.0) {
            range.end = range.start + limit;
        }
        ranges
    }
}
