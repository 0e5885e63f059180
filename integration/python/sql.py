# SPDX-License-Identifier: Apache-2.0
"""Runs SQL by impyla over HTTP, all statements on one connection: sql.py HOST PORT STATEMENT...

A row is a line with tabs.
"""

import sys

from impala.dbapi import connect

host, port = sys.argv[1], int(sys.argv[2])
connection = connect(
    host=host,
    port=port,
    use_http_transport=True,
    http_path="cliservice",
    auth_mechanism="GSSAPI",
    kerberos_service_name="HTTP",
)
cursor = connection.cursor()
for statement in sys.argv[3:]:
    cursor.execute(statement)
    for row in cursor.fetchall() if cursor.description else []:
        print(*row, sep="\t")
