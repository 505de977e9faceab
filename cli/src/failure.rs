//! How a command ends when it does not end well.

use std::process::ExitCode;

/// Exit codes, for `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0    done; nothing is wrong
  1    it did not work, or problems were found: standard error, or the table, says which, and what to do
  2    the command line cannot be understood, or names what is not there (a context, say)
  130  interrupted; what had been made is removed again";

/// Why a command did not do what it was asked for. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// It did not work, or problems were found.
    #[error("{0}")]
    Problem(String),
    /// Problems were found, and the output says which.
    #[error("problems were found")]
    Found,
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Problem(_) | Self::Found => 1,
            Self::Interrupted => 130,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code())
    }
}

/// A failure that is no fault of the command line.
pub fn problem(text: impl Into<String>) -> Failure {
    Failure::Problem(text.into())
}
