"""Records in the forms of others: a hosted evaluation schema, an attestation to be signed."""
