-- name: all
SELECT scope, name, value, set_by FROM settings
ORDER BY set_at DESC, scope, name
LIMIT :most

-- name: put
INSERT INTO settings (scope, name, value, set_by, set_at)
VALUES (:scope, :name, :value, :set_by, :now)
ON CONFLICT (scope, name) DO UPDATE
SET value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at

-- name: drop
DELETE FROM settings WHERE scope = :scope AND name = :name
RETURNING name
