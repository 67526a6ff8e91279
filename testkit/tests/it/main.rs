//! Tests of the services that other tests stand on.

mod client;
mod s3_faults;
mod s3_garage;
mod s3_objects;
mod s3_uploads;
mod services;
