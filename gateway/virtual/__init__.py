"""Steps in virtual time: a host whose clock does not wait, for previews, tests of scenarios and simulations."""
