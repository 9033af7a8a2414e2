//! How far the bench is: a bar on a terminal, a line for each driver elsewhere, nothing when quiet.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plywood_bench::Step;

use crate::output::Messages;

/// Shows steps on stderr.
#[derive(Debug)]
pub(super) struct Shown {
    messages: Messages,
    bar: ProgressBar,
}

impl Shown {
    pub(super) fn new(messages: Messages) -> Self {
        let drawn = !messages.is_quiet() && io::stderr().is_terminal();
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {msg}"));
        Self { messages, bar }
    }

    pub(super) fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Preparing { driver } => self.say(format!("preparing {driver}")),
            Step::Begin { runs } => {
                self.say(format!("{runs} runs"));
                self.bar.set_length(runs as u64);
                self.bar.set_style(style("[{bar:30}] {pos}/{len}  {eta} left  {msg}"));
            }
            Step::Running { workload, driver } => {
                self.bar.set_message(format!("{workload} on {driver}"));
                self.bar.inc(1);
            }
            Step::Removing => self.say("removing what was made".to_owned()),
        }
    }

    fn say(&self, text: String) {
        if self.bar.is_hidden() {
            self.messages.note(&text);
        }
        self.bar.set_message(text);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
