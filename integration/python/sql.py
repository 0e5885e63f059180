# SPDX-License-Identifier: Apache-2.0
"""Runs SQL by impyla over HTTP, all statements on one connection: sql.py HOST PORT [STATEMENT...]

A row is a line with tabs. Without statements they are read, a line each; after the rows of each
comes a line with EOT and, where it failed, why: the next one then has a new connection.
"""

import sys

from impala.dbapi import connect

host, port = sys.argv[1], int(sys.argv[2])


def connected():
    return connect(
        host=host,
        port=port,
        use_http_transport=True,
        http_path="cliservice",
        auth_mechanism="GSSAPI",
        kerberos_service_name="HTTP",
    )


def run(cursor, statement):
    cursor.execute(statement)
    for row in cursor.fetchall() if cursor.description else []:
        print(*row, sep="\t")


if len(sys.argv) > 3:
    cursor = connected().cursor()
    for statement in sys.argv[3:]:
        run(cursor, statement)
    sys.exit()

cursor = None
for line in sys.stdin:
    why = ""
    try:
        cursor = cursor or connected().cursor()
        run(cursor, line.strip())
    except Exception as error:
        why = " ".join(f"{type(error).__name__} {error}".split())
        cursor = None
    print("\x04" + why, flush=True)
