//! The binary end to end: real processes, real HTTP, real files.

mod launchpad;
mod published;

mod commands;
mod readers;
mod sample;
