-- Clients that an import brought. A row outlives its client: what was removed here, another import does not bring back.
CREATE TABLE imported_client (
    profile   TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (profile, client_id)
);
