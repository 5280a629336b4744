"""The channel of audiences: membership lists that are kept in sync at other systems."""
