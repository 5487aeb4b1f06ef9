"""What training the embedded judge needs: questions, pictures, the network, and its export."""
