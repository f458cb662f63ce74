-- name: record
INSERT INTO verdicts (subject, direction, decision, verdict, at)
VALUES (:subject, :direction, :decision, :verdict, :now)

-- name: of
SELECT direction, decision, verdict, at FROM verdicts WHERE subject = :subject ORDER BY id
