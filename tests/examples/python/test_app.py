import unittest

from app import application


class Answer(unittest.TestCase):
    def ask(self, query):
        self.status = None
        body = application({"QUERY_STRING": query}, lambda status, headers: setattr(self, "status", status))
        return b"".join(body).decode()

    def test_says_it_louder(self):
        self.assertEqual(self.ask("say=hello."), "HELLO!\n")
        self.assertEqual(self.status, "200 OK")

    def test_asks_back(self):
        self.assertEqual(self.ask(""), "say what?\n")
        self.assertEqual(self.status, "400 Bad Request")
