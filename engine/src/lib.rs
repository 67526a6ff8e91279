//! What every process that plans or executes needs, composed once: session, functions, memory budget.
