"""What was trained and what is in production: tracking, bundles, the ledger, promotion and rollback."""
