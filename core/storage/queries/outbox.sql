-- name: intend
INSERT INTO outbox (turn, part, conversation, state, attempted_at)
VALUES (:turn, :part, :conversation, 'intent', :now)
ON CONFLICT (turn, part) DO UPDATE
SET state = 'intent', message = NULL, attempted_at = excluded.attempted_at
WHERE outbox.state = 'withdrawn'

-- name: sent
UPDATE outbox SET message = :message, state = 'sent'
WHERE turn = :turn AND part = :part

-- name: confirm
UPDATE outbox SET state = 'confirmed' WHERE turn = :turn AND state = 'sent'

-- name: withdrawn
UPDATE outbox SET state = 'withdrawn' WHERE turn = :turn AND part = :part

-- name: parts
SELECT part, message, state, attempted_at FROM outbox WHERE turn = :turn ORDER BY part
