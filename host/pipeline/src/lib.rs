//! What a request does: plans, generations, the synthesis story.
