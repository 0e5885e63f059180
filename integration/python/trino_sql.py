# SPDX-License-Identifier: Apache-2.0
"""Runs SQL by Trino's Python client with Kerberos: trino_sql.py URL CA SERVICE USER STATEMENT...

Every answer has to prove that the server holds its own key. A row is a line with tabs.
"""

import sys
from urllib.parse import urlsplit

from trino.auth import GSSAPIAuthentication
from trino.dbapi import connect

url, ca, service, user = sys.argv[1:5]
url = urlsplit(url)
auth = GSSAPIAuthentication(
    service_name=service,
    hostname_override=url.hostname,
    mutual_authentication=GSSAPIAuthentication.MUTUAL_REQUIRED,
)
connection = connect(
    host=url.hostname,
    port=url.port,
    http_scheme=url.scheme,
    user=user,
    auth=auth,
    verify=ca,
)
cursor = connection.cursor()
for statement in sys.argv[5:]:
    cursor.execute(statement)
    for row in cursor.fetchall():
        print(*row, sep="\t")
