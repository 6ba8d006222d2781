//! What plugins do wrong, and what the sandbox cannot do.

use std::fmt;

use crate::bindings::types::PolicyError;

/// The sandbox itself cannot start. The operator can act.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine lacks something that wasmtime needs, such as address space
    /// or a thread.
    #[error("wasmtime cannot start: {0}")]
    Engine(String),
}

/// A component that cannot become a plugin. Its author or the operator can
/// act.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is refused unread, since compiling takes time in proportion.
    #[error("it has {bytes} bytes, more than the {most} that are allowed")]
    TooLarge { bytes: usize, most: usize },
    /// WebAssembly without the component model, as most compilers write it by
    /// default.
    #[error(
        "it is a core module, not a component: link it with wasm-component-ld (target wasm32-unknown-unknown) or run `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes are not WebAssembly, or use a feature that policies do not
    /// get.
    #[error("it is no WebAssembly component: {0}")]
    Compile(String),
    /// It asks for an interface beyond those of `wit/policy.wit`, such as
    /// WASI's.
    #[error("it imports `{import}`, which no policy gets: {cure}")]
    Import { import: String, cure: &'static str },
    /// It is a component of another world than the one it is used as.
    #[error("it is no {expected}: it exports {found}")]
    World {
        /// The world that the pipeline wants.
        expected: &'static str,
        /// What it exports, in words.
        found: String,
    },
    /// It has the right names, and types that differ.
    #[error("it does not link: {0}")]
    Link(String),
    /// It broke down when it was asked who it is.
    #[error("`describe` failed: {0}")]
    Describe(CallError),
    /// It broke down when it was given its settings.
    #[error("`configure` failed: {0}")]
    Configure(CallError),
    /// The plugin refuses its settings: for each, a dotted path and what is
    /// wrong. An empty path means all of them.
    #[error("its settings are wrong: {}", list(.0))]
    Settings(Vec<(String, String)>),
    /// It was given inputs that break careless code, and gave no usable answer.
    #[error("the check at load failed: {0}")]
    SelfCheck(String),
}

fn list(diagnostics: &[(String, String)]) -> String {
    let lines: Vec<_> = diagnostics
        .iter()
        .map(|(path, message)| match path.as_str() {
            "" => message.clone(),
            path => format!("`{path}`: {message}"),
        })
        .collect();
    lines.join("; ")
}

/// A call that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not this plugin's language or feature; the next one may know it.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The caller can act.
    #[error("{0}")]
    InvalidInput(String),
    /// The plugin says itself that it failed.
    #[error("{0}")]
    Failed(String),
    /// The plugin was stopped or broke down; its instance is gone.
    #[error("{0}")]
    Trap(Trap),
    /// The plugin answered more than this text may become.
    #[error("its answer is wrong: {bytes} bytes for {input} bytes of input; the most is {most}")]
    TooLong {
        /// Bytes of the text it answered.
        bytes: usize,
        /// Bytes of the text it was given.
        input: usize,
        /// Bytes that it might have answered, in proportion to the input.
        most: usize,
    },
    /// The plugin answered what no plugin may answer.
    #[error("its answer is wrong: {0}")]
    Answer(String),
}

/// Why a plugin was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It used all instructions of a call.
    Fuel,
    /// It used all time of a call.
    Deadline,
    /// It wanted more memory than it may have.
    Memory,
    /// It recursed too deep.
    Stack,
    /// It panicked or aborted.
    Unreachable,
    /// No instance was free.
    NoInstance,
    /// Another trap of WebAssembly, such as a division by zero, in wasmtime's
    /// words.
    Other(String),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuel => "it used up the instructions of a call",
            Self::Deadline => "it used up the time of a call",
            Self::Memory => "it wanted more memory than it may have",
            Self::Stack => "it recursed too deep",
            Self::Unreachable => "it panicked",
            Self::NoInstance => "no instance is free",
            Self::Other(what) => what,
        })
    }
}

impl From<wasmtime::Error> for Trap {
    fn from(error: wasmtime::Error) -> Self {
        use wasmtime::Trap as T;
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Self::NoInstance;
        }
        match error.downcast_ref::<T>() {
            Some(T::OutOfFuel) => Self::Fuel,
            Some(T::Interrupt) => Self::Deadline,
            Some(T::StackOverflow) => Self::Stack,
            Some(T::UnreachableCodeReached) => Self::Unreachable,
            Some(other) => Self::Other(other.to_string()),
            // `trap_on_grow_failure` has no type of its own.
            None if format!("{error:#}").contains("growing memory") => Self::Memory,
            // The whole chain, never the debug form: that carries host frames.
            None => Self::Other(format!("{error:#}")),
        }
    }
}

impl CallError {
    /// For metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "unsupported",
            Self::InvalidInput(_) => "invalid-input",
            Self::Failed(_) => "failed",
            Self::Trap(_) => "trap",
            Self::TooLong { .. } | Self::Answer(_) => "answer",
        }
    }
}

impl From<PolicyError> for CallError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Unsupported(what) => Self::Unsupported(what),
            PolicyError::InvalidInput(why) => Self::InvalidInput(why),
            PolicyError::Failed(why) => Self::Failed(why),
        }
    }
}
